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
    write(&mut client.to, &told, context)
        .await
        .map_err(broken)?;
    decision.down += told.len() as u64;
    let secrets = &context.shared.relay.secrets;
    let mut search = secrets.search();
    let mut kept = recording.as_ref().map(|(store, _)| store.begin());
    let mut payload = Payload::new(head.framing);
    let idle = context.shared.idle_time();
    let mut echoed = false;
    loop {
        let data = from
            .body(&mut payload, idle)
            .await
            .map_err(|gone| Denial::server(&gone).begun())?;
        let over = data.is_none();
        let data = data.unwrap_or_default();
        if let Some(kept) = &mut kept {
            kept.write(&data).map_err(|e| {
                Denial::gateway(Reason::Unknown, format!("the recording: {e}")).begun()
            })?;
        }
        let (data, found) = search.pass(&data, over);
        echoed |= found;
        if found && judged.credential.is_some() {
            return Err(
                Denial::gateway(Reason::SecretMisroute, "the answer holds the credential").begun(),
            );
        }
        if !data.is_empty() {
            spend(context, judged, Way::Down, data.len()).map_err(Denial::begun)?;
            decision.down += data.len() as u64;
            write(&mut client.to, &framed(framing, &data), context)
                .await
                .map_err(broken)?;
        }
        if over {
            break;
        }
    }
    if let (Some(kept), Some((store, key))) = (kept, recording) {
        if echoed || head.headers.iter().any(|h| secrets.holds(&h.value)) {
            decision.exchange.detail = Some("the answer holds a credential: not recorded".into());
        } else {
            let body = store.keep(key, head, kept).map_err(|e| {
                Denial::gateway(Reason::Unknown, format!("the recording: {e}")).begun()
            })?;
            decision.exchange.body = Some(body);
        }
    }
    // Only now does the client know that it has all: what it knows is recorded.
    if framing == Framing::Chunked {
        write(&mut client.to, b"0\r\n\r\n", context)
            .await
            .map_err(broken)?;
    }
    Ok(if close { Next::Close } else { Next::Again })
}
