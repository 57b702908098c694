use std::time::Duration;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_plan_trips_at_its_point_and_stays_tripped() {
    let plan = FaultPlan::nth(FaultPoint::BetweenSteps, 2);
    plan.reach(FaultPoint::BetweenSteps);
    plan.reach(FaultPoint::AfterFinish);
    assert_eq!(plan.tripped(), None);
    plan.reach(FaultPoint::BetweenSteps);
    assert_eq!(plan.wait_tripped().await, FaultPoint::BetweenSteps);
    plan.kill(FaultPoint::AfterFinish);
    assert_eq!(plan.tripped(), Some(FaultPoint::BetweenSteps));
    assert_eq!(plan.reached(FaultPoint::BetweenSteps), 2);
    let dead = tokio::time::timeout(Duration::from_secs(1), plan.alive()).await;
    assert!(dead.is_err(), "a dead process goes no further");
}

#[tokio::test(start_paused = true)]
async fn a_breakpoint_holds_until_it_is_released() {
    let plan = FaultPlan::none();
    plan.hold(FaultPoint::BeforeClaimCommit);
    let held = tokio::time::timeout(
        Duration::from_secs(1),
        plan.pass(FaultPoint::BeforeClaimCommit),
    );
    assert!(held.await.is_err());
    plan.wait_reached(FaultPoint::BeforeClaimCommit, 1).await;
    plan.release(FaultPoint::BeforeClaimCommit);
    plan.pass(FaultPoint::BeforeClaimCommit).await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_point_lets_paused_time_pass() {
    let plan = FaultPlan::none();
    let later = async {
        crate::clock::let_pass(Duration::from_secs(3600)).await;
        plan.reach(FaultPoint::AfterFinish);
    };
    tokio::join!(plan.wait_reached(FaultPoint::AfterFinish, 1), later);
}
