//! The process's life: opens the doors, hears the supervisor, and leaves when told.

use std::os::unix::net::UnixDatagram;

use crate::log;
use crate::{Doors, Prepared};

/// Serves until the supervisor says stop, or is gone; the process's exit code.
pub fn serve(prepared: Prepared, doors: Doors, channel: UnixDatagram) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return 1;
    };
    let code = runtime.block_on(async move {
        let (log, writer, reader) = log::open(channel).map_err(drop)?;
        let writer = tokio::spawn(writer.run());
        let said = reader.run().await;
        drop((prepared, doors, log));
        writer.await.map_err(drop)?;
        Ok::<_, ()>(u8::from(!said))
    });
    code.unwrap_or(1)
}
