//! What ends a step early that starts nothing on this machine: it stops
//! waiting. Steps with processes leave this to their guard.

use std::time::Duration;

use model::{
    action::{StepControl, Stop},
    clock::{BootTime, Clock},
    job::{Outcome, Retry},
};
use tokio::{sync::watch, time::sleep};

/// Ends when the step has to, whatever it is waiting for.
pub(crate) async fn asked_to_end(control: &mut StepControl, clock: &dyn Clock) -> Outcome {
    tokio::select! {
        biased;
        outcome = stopped(&mut control.stop) => outcome,
        outcome = expired(&mut control.deadline, clock) => outcome,
    }
}

/// Ends when somebody asks the step to.
async fn stopped(stop: &mut watch::Receiver<Option<Stop>>) -> Outcome {
    let asked = match stop.wait_for(Option::is_some).await {
        Ok(asked) => asked.clone(),
        Err(_) => None,
    };
    match asked {
        Some(Stop::Cancel(by)) => Outcome::Cancelled { by },
        Some(Stop::LeaseLost) => failed("ended: the lease of the job was lost".to_owned()),
        // Nobody is left who could ask.
        None => std::future::pending().await,
    }
}

/// Ends when the deadline has passed without being moved on.
async fn expired(deadline: &mut watch::Receiver<BootTime>, clock: &dyn Clock) -> Outcome {
    let mut is_open = true;
    loop {
        let at = deadline.borrow_and_update().clone();
        let now = clock.boot();
        if at.has_passed(&now) {
            return failed("ended: the lease of the job was not renewed in time".to_owned());
        }
        let left = Duration::from_millis(at.millis.abs_diff(now.millis));
        tokio::select! {
            changed = deadline.changed(), if is_open => is_open = changed.is_ok(),
            () = sleep(left) => {}
        }
    }
}

fn failed(summary: String) -> Outcome {
    Outcome::Failed {
        exit: None,
        summary,
        retry: Retry::Worthwhile,
    }
}
