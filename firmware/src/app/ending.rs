//! The end of a run that is to be ended.

use embassy_time::{Duration, Timer, with_timeout};

use super::settings::End;
use super::shared::App;

/// How long the device may take for the RSTs; with the cable out it takes none.
const TELLING_PATIENCE: Duration = Duration::from_secs(2);
/// What the device has taken must leave it.
const LEAVING: Duration = Duration::from_millis(50);

#[embassy_executor::task]
pub(super) async fn end(app: &'static App, after: Duration, how: End) {
    Timer::after(after).await;
    match how {
        End::Panic => defmt::panic!("a panic was asked for"),
        End::Restart => {
            defmt::info!("planned restart: every peer is told");
            if with_timeout(TELLING_PATIENCE, app.tcp.abort_all()).await.is_err() {
                defmt::warn!("not every peer could be told");
            }
            Timer::after(LEAVING).await;
            restart()
        }
    }
}

#[cfg(feature = "restart")]
fn restart() -> ! {
    crate::restart::restart()
}

#[cfg(not(feature = "restart"))]
fn restart() -> ! {
    defmt::panic!("this build cannot restart")
}
