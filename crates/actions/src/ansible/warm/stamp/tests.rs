use std::path::Path;

use super::{Watched, collections};

fn watched(dir: &Path) -> Watched {
    let mut watched = Watched::default();
    watched.add_texts([dir.join("ansible.cfg")]);
    watched.add([dir.join("requirements.yml")]);
    watched.add(collections(&dir.join("collections")));
    watched
}

/// Whether a change is noticed.
#[track_caller]
fn check(change: impl FnOnce(&Path), is_noticed: bool) {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let collection = at.join("collections/ansible_collections/a/b");
    fs_err::create_dir_all(&collection).unwrap();
    fs_err::write(collection.join("MANIFEST.json"), "{}").unwrap();
    fs_err::write(at.join("ansible.cfg"), "[defaults]\nforks = 5\n").unwrap();
    let before = watched(at);
    assert!(before.is_current());
    change(at);
    assert_eq!(!is_noticed, before.is_current());
}

#[test]
fn what_a_server_holds_is_watched() {
    check(
        |at| fs_err::write(at.join("ansible.cfg"), "[defaults]\nforks = 6\n").unwrap(),
        true,
    );
    check(
        |at| fs_err::remove_file(at.join("ansible.cfg")).unwrap(),
        true,
    );
    check(
        |at| fs_err::write(at.join("requirements.yml"), "").unwrap(),
        true,
    );
    let namespace = "collections/ansible_collections/a";
    check(
        |at| fs_err::create_dir(at.join(namespace).join("c")).unwrap(),
        true,
    );
    check(
        |at| fs_err::write(at.join(namespace).join("b/MANIFEST.json"), "{ }").unwrap(),
        true,
    );
    check(
        |at| fs_err::remove_dir_all(at.join("collections")).unwrap(),
        true,
    );
}

#[test]
fn what_every_run_reads_itself_is_not() {
    check(
        |at| fs_err::write(at.join("site.yml"), "- hosts: all").unwrap(),
        false,
    );
    check(
        |at| fs_err::write(at.join("ansible.cfg"), "[defaults]\nforks = 5\n").unwrap(),
        false,
    );
}
