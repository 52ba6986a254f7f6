//! An answer on its way to the client, and into the recording.

use belljar_model::Reason;
use belljar_model::door::Decision;
use tokio::io::{AsyncRead, AsyncWrite};

use super::judge::Judged;
use super::relay::{framed, spend, write};
use super::wire::Wire;
use super::{Client, Context, Denial, Next};
use crate::http::{Framing, Payload, RequestHead, ResponseHead, Version};
use crate::limits::Way;
use crate::record::{Key, Store};

/// What is known of it.
pub(super) struct Answer<'a> {
    pub(super) context: &'a Context,
    pub(super) judged: &'a Judged,
    pub(super) request: &'a RequestHead,
    pub(super) head: &'a ResponseHead,
    /// It is the connection's last.
    pub(super) close: bool,
}

/// Hands an answer on, its head and its body.
pub(super) async fn relay<S, T>(
    client: &mut Client<S>,
    from: &mut Wire<T>,
    answer: Answer<'_>,
    recording: Option<(&Store, Key)>,
    decision: &mut Decision,
) -> Result<Next, Denial>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead,
{
    let Answer {
        context,
        judged,
        request,
        head,
        close,
    } = answer;
    let old = request.version == Version::Old;
    let framing = match head.framing {
        Framing::Chunked | Framing::ToClose if old => Framing::ToClose,
        Framing::Chunked | Framing::ToClose => Framing::Chunked,
        said => said,
    };
    let close = close || old || framing == Framing::ToClose;
    let extra: &[(&str, &[u8])] = if close {
        &[("connection", b"close")]
    } else {
        &[]
    };
    let told = head.to_client(framing, extra);
    spend(context, judged, Way::Down, told.len())?;
    context.seen.known().await;
    let broken = |gone| Denial::client(&gone).begun();
    decision.down += told.len() as u64;
    let mut payload = Payload::new(head.framing);
    let mut told = told;
    if !payload.is_over() {
        let told = std::mem::take(&mut told);
        write(&mut client.to, &told, context)
            .await
            .map_err(broken)?;
    }
    let secrets = &context.shared.relay.secrets;
    let mut search = secrets.search();
    let mut recording = recording.map(|(store, key)| (store, key, store.begin()));
    let idle = context.shared.idle_time();
    let mut echoed = head.headers.iter().any(|h| secrets.holds(&h.value));
    let unkept =
        |e: std::io::Error| Denial::gateway(Reason::Unknown, format!("the recording: {e}")).begun();
    loop {
        let data = from
            .body(&mut payload, idle)
            .await
            .map_err(|gone| Denial::server(&gone).begun())?;
        let over = data.is_none() || payload.is_over();
        let data = data.unwrap_or_default();
        if let Some((_, _, kept)) = &mut recording {
            kept.write(&data).map_err(unkept)?;
        }
        let (data, found) = search.pass(&data, over);
        echoed |= found;
        if found && judged.credential.is_some() {
            return Err(
                Denial::gateway(Reason::SecretMisroute, "the answer holds the credential").begun(),
            );
        }
        // A client that has all of it may end the run: what it knows is kept before.
        if over && let Some((store, key, kept)) = recording.take() {
            if echoed {
                let why = "the answer holds a credential: not recorded";
                decision.exchange.detail = Some(why.into());
            } else {
                decision.exchange.body = Some(store.keep(key, head, kept).map_err(unkept)?);
            }
        }
        told.extend(framed(framing, &data));
        if !told.is_empty() {
            spend(context, judged, Way::Down, data.len()).map_err(Denial::begun)?;
            decision.down += data.len() as u64;
            write(&mut client.to, &std::mem::take(&mut told), context)
                .await
                .map_err(broken)?;
        }
        if over {
            break;
        }
    }
    if framing == Framing::Chunked {
        write(&mut client.to, b"0\r\n\r\n", context)
            .await
            .map_err(broken)?;
    }
    Ok(if close { Next::Close } else { Next::Again })
}
