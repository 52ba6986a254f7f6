//! One request, answered by the recording. Nothing here can reach a server.

use belljar_model::door::Decision;
use belljar_model::{EgressVerdict, Reason};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};

use super::judge::Judged;
use super::relay::{spend, write};
use super::{BAD_GATEWAY, Client, Context, Denial, GATEWAY_TIMEOUT, Next};
use crate::http::{Framing, Payload, RequestHead, Version};
use crate::limits::Way;
use crate::record::{Key, Tape};

pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    context: &Context,
    tape: &Tape,
    head: &RequestHead,
    judged: &Judged,
    decision: &mut Decision,
) -> Result<Next, Denial> {
    let gone = |gone| Denial::client(&gone);
    if judged.expects {
        context.seen.known().await;
        write(&mut client.to, b"HTTP/1.1 100 Continue\r\n\r\n", context)
            .await
            .map_err(gone)?;
    }
    let idle = context.shared.idle_time();
    let mut payload = Payload::new(head.framing);
    let mut digest = Sha256::new();
    while let Some(data) = client.from.body(&mut payload, idle).await.map_err(gone)? {
        spend(context, judged, Way::Up, data.len())?;
        decision.up += data.len() as u64;
        digest.update(&data);
    }
    let key = Key::of(
        context.scheme.name(),
        &judged.authority,
        &judged.target,
        head,
        digest.finalize().into(),
    );
    let Some(found) = tape.next(&key) else {
        return Err(Denial {
            status: GATEWAY_TIMEOUT,
            ..Denial::new(Reason::ReplayMiss, "run A did not ask for this")
        });
    };
    if let Some(reason) = found.failed {
        return Err(Denial {
            status: if found.status == 504 {
                GATEWAY_TIMEOUT
            } else {
                BAD_GATEWAY
            },
            ..Denial::new(reason, "as in run A")
        });
    }
    let damaged = |e| Denial::gateway(Reason::UpstreamError, format!("the recording: {e}"));
    tape.verify(&found).map_err(damaged)?;
    let framing = match (head.method.as_str(), found.status) {
        ("HEAD", _) | (_, 204 | 304) => Framing::Empty,
        _ => Framing::Length(found.length()),
    };
    let close = head.version == Version::Old || !head.keeps_alive();
    let told = found.head(framing, close);
    spend(context, judged, Way::Down, told.len())?;
    context.seen.known().await;
    let broken = |gone| Denial::client(&gone).begun();
    write(&mut client.to, &told, context)
        .await
        .map_err(broken)?;
    decision.down += told.len() as u64;
    if framing != Framing::Empty {
        for piece in found.pieces() {
            let data = tape.read(piece).map_err(|e| damaged(e).begun())?;
            spend(context, judged, Way::Down, data.len()).map_err(Denial::begun)?;
            write(&mut client.to, &data, context)
                .await
                .map_err(broken)?;
            decision.down += data.len() as u64;
        }
    }
    decision.verdict = EgressVerdict::Allow;
    decision.reason = Reason::Replayed;
    decision.exchange.replayed = true;
    decision.exchange.status = Some(found.status);
    decision.exchange.body = Some(found.sha256);
    Ok(if close { Next::Close } else { Next::Again })
}
