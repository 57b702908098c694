use super::{HostRecap, TaskEventKind, TaskStatus};

#[test]
fn words_are_read_as_they_are_written() {
    for status in TaskStatus::ALL {
        assert_eq!(Ok(status), status.as_str().parse());
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(format!("\"{status}\""), json);
    }
    for kind in TaskEventKind::ALL {
        assert_eq!(Ok(kind), kind.as_str().parse());
        let json = serde_json::to_string(&kind).unwrap();
        assert_eq!(format!("\"{kind}\""), json);
    }
    assert!("OK".parse::<TaskStatus>().is_err());
}

#[test]
fn results_are_counted_as_ansible_does() {
    let mut recap = HostRecap::of("web1");
    for status in TaskStatus::ALL {
        recap.count(status);
    }
    let expected = HostRecap {
        host: "web1".to_owned(),
        ok: 3,
        changed: 1,
        unreachable: 1,
        failed: 1,
        skipped: 1,
        rescued: 1,
        ignored: 1,
    };
    assert_eq!(expected, recap);
}
