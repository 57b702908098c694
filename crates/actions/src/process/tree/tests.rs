use nix::unistd::Pid;

use super::{Process, descendants_in, parse_stat, processes};

#[track_caller]
fn check(text: &[u8], expect: Option<(i32, i32, bool)>) {
    let found = parse_stat(7, text).map(|found| (found.parent, found.session, found.is_dead));
    assert_eq!(expect, found);
}

#[test]
fn a_line_of_stat_is_read_whatever_the_name() {
    check(b"7 (sh) S 3 7 5 0 -1", Some((3, 5, false)));
    check(b"7 (a) Z 1 (b) R 3 7 5 0 -1", Some((3, 5, false)));
    check(b"7 (\xff \n) Z 3 7 5 0 -1", Some((3, 5, true)));
    check(b"7 (sh) S 3", None);
    check(b"", None);
}

#[test]
fn descendants_are_found_at_any_depth_and_beyond_the_dead() {
    let one = |pid, parent, is_dead| Process {
        pid,
        parent,
        group: pid,
        session: 1,
        is_dead,
    };
    let all = [
        one(2, 1, false),
        one(3, 2, true),
        one(4, 3, false),
        one(5, 4, false),
        one(6, 1, false),
        one(9, 9, false),
    ];
    let mut found: Vec<i32> = descendants_in(&all, vec![2])
        .into_iter()
        .map(Pid::as_raw)
        .collect();
    found.sort_unstable();
    assert_eq!(vec![4, 5], found);
}

#[test]
fn this_process_is_among_the_processes() {
    let own = Pid::this().as_raw();
    assert!(processes().iter().any(|process| process.pid == own));
}
