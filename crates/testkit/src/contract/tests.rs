use std::collections::BTreeSet;

use crate::MemoryStore;

use super::*;

async fn fixture(clock: Arc<TestClock>, queue_limit: usize) -> Fixture {
    let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>, queue_limit);
    Fixture::new(Arc::new(store), clock, ())
}

mod memory {
    use super::fixture;

    crate::contract_suite!(fixture);
}

const PORTS: [&str; 7] = [
    include_str!("../../../model/src/ports.rs"),
    include_str!("../../../model/src/ports/access.rs"),
    include_str!("../../../model/src/ports/chain.rs"),
    include_str!("../../../model/src/ports/custody.rs"),
    include_str!("../../../model/src/ports/lifecycle.rs"),
    include_str!("../../../model/src/ports/outbox.rs"),
    include_str!("../../../model/src/ports/task.rs"),
];

/// The lines of the contracts as the ports' doc comments have them.
fn documented() -> BTreeSet<&'static str> {
    PORTS
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.strip_prefix("/// - `")?.strip_suffix('`'))
        .collect()
}

#[test]
fn every_line_of_the_ports_contracts_is_a_test_and_none_is_extra() {
    let tested: BTreeSet<&str> = LINES
        .iter()
        .flat_map(|(_, lines)| *lines)
        .copied()
        .collect();
    assert_eq!(documented(), tested);
    let count: usize = LINES.iter().map(|(_, lines)| lines.len()).sum();
    assert_eq!(count, tested.len(), "a line belongs to one port");
    assert!(count > 30, "the doc comments were found: {count}");
}

#[test]
fn every_function_of_the_suite_is_in_its_list() {
    let sources = [
        ("intake", include_str!("intake.rs")),
        ("queue", include_str!("queue.rs")),
        ("control", include_str!("control.rs")),
        ("history", include_str!("history.rs")),
        ("upkeep", include_str!("upkeep.rs")),
        ("custody", include_str!("custody.rs")),
        ("outbox", include_str!("outbox.rs")),
        ("access", include_str!("access.rs")),
        ("chain", include_str!("chain.rs")),
        ("lifecycle", include_str!("lifecycle.rs")),
        ("storms", include_str!("storms.rs")),
        ("task", include_str!("task.rs")),
    ];
    for (port, source) in sources {
        let written: BTreeSet<&str> = source
            .lines()
            .filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next())
            .collect();
        let (_, listed) = LINES.iter().find(|(name, _)| *name == port).unwrap();
        assert_eq!(written, listed.iter().copied().collect(), "{port}");
    }
}
