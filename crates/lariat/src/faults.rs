//! `--fault`: ends the process as `kill -9` would, at a named moment. Tests
//! use it to prove that no moment loses anything.

use std::{
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use model::fault::{FaultPoint, Faults};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Between reaching the point and dying there: others of the process go on.
const INDISCRETION: Duration = Duration::from_millis(50);

/// Die when `point` is reached for the `count`th time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FaultPlan {
    point: FaultPoint,
    count: u32,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FaultPlanError {
    #[error("`{0}` is not a fault point")]
    Point(String),
    #[error("`{0}` is not a count from 1")]
    Count(String),
}

impl FromStr for FaultPlan {
    type Err = FaultPlanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (point, count) = text.split_once(':').unwrap_or((text, "1"));
        let point = FaultPoint::ALL
            .into_iter()
            .find(|known| known.as_str() == point)
            .ok_or_else(|| FaultPlanError::Point(point.to_owned()))?;
        let count = count
            .parse()
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(|| FaultPlanError::Count(count.to_owned()))?;
        Ok(Self { point, count })
    }
}

/// Kills this process when the plan says so.
#[derive(Debug)]
pub(crate) struct KillAtFault {
    plan: FaultPlan,
    reached: AtomicU32,
}

impl KillAtFault {
    pub(crate) fn new(plan: FaultPlan) -> Self {
        Self {
            plan,
            reached: AtomicU32::new(0),
        }
    }
}

impl Faults for KillAtFault {
    fn reach(&self, point: FaultPoint) {
        if point != self.plan.point {
            return;
        }
        let times = self.reached.fetch_add(1, Ordering::SeqCst) + 1;
        if times == self.plan.count {
            // What was told too early gets out meanwhile, and is found out;
            // also what this thread had to do next is done by another.
            tokio::task::block_in_place(|| std::thread::park_timeout(INDISCRETION));
            kill(Pid::this(), Signal::SIGKILL).expect("a process may always kill itself");
            // The signal is delivered before anything else of this thread.
            loop {
                std::thread::park();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::fault::FaultPoint;

    use super::{FaultPlan, FaultPlanError};

    #[test]
    fn a_plan_names_a_point_and_a_count() {
        for point in FaultPoint::ALL {
            let plan = format!("{}:7", point.as_str());
            assert_eq!(Ok(FaultPlan { point, count: 7 }), plan.parse());
            assert_eq!(Ok(FaultPlan { point, count: 1 }), point.as_str().parse());
        }
        let unknown = "nowhere".parse::<FaultPlan>();
        assert_eq!(Err(FaultPlanError::Point("nowhere".to_owned())), unknown);
        let zero = "after-finish:0".parse::<FaultPlan>();
        assert_eq!(Err(FaultPlanError::Count("0".to_owned())), zero);
    }
}
