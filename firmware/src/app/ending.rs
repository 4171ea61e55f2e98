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
        End::Hang => {
            defmt::info!("a hang was asked for: no other task runs any more");
            loop {
                core::hint::spin_loop();
            }
        }
        End::Restart => {
            tell_peers(app).await;
            restart()
        }
    }
}

/// What leaves without a link, or not in time, tells nobody: where the numbers stand is noted, and the next start tells by the exact RST.
async fn tell_peers(app: &App) {
    if !app.stack.is_link_up() {
        defmt::warn!("planned restart without a link: every peer is told after it");
        return app.tcp.note_sequence_numbers();
    }
    defmt::info!("planned restart: every peer is told");
    if with_timeout(TELLING_PATIENCE, app.tcp.abort_all()).await.is_err() {
        app.tcp.note_sequence_numbers();
        defmt::warn!("not every peer could be told: the others are after it");
    }
    Timer::after(LEAVING).await;
}

#[cfg(feature = "restart")]
fn restart() -> ! {
    crate::restart::restart()
}

#[cfg(not(feature = "restart"))]
fn restart() -> ! {
    defmt::panic!("this build cannot restart")
}
