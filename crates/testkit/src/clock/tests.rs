use super::*;

#[tokio::test(start_paused = true)]
async fn a_following_clock_moves_with_tokio() {
    let clock = TestClock::following();
    let (wall, boot) = (clock.now(), clock.boot());
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(clock.now(), wall.plus(Duration::from_secs(5)));
    assert_eq!(clock.boot(), boot.plus(Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn setting_the_wall_leaves_the_boot_clock_alone() {
    let clock = TestClock::following();
    tokio::time::advance(Duration::from_secs(5)).await;
    let boot = clock.boot();
    let past = clock.now().minus(Duration::from_secs(86_400));
    clock.set_wall(past);
    assert_eq!(clock.now(), past);
    assert_eq!(clock.boot(), boot);
}

#[tokio::test(start_paused = true)]
async fn a_clock_by_hand_stands_still() {
    let clock = TestClock::by_hand();
    let boot = clock.boot();
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(clock.boot(), boot);
    clock.advance(Duration::from_millis(7));
    assert_eq!(clock.boot(), boot.plus(Duration::from_millis(7)));
}

#[test]
fn after_a_reboot_everything_has_passed() {
    let clock = TestClock::by_hand();
    let later = clock.boot().plus(Duration::from_secs(3600));
    assert!(!later.has_passed(&clock.boot()));
    clock.reboot();
    assert!(later.has_passed(&clock.boot()));
}
