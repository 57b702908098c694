use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use super::of;

const BODY: &str = "\nimport sys\nfrom ansible.cli.playbook import main\nsys.exit(main())\n";

/// A directory with two Pythons and a shim.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("python3.11", b"\x7fELF and more");
        place.write("shims/python3", b"#!/bin/sh\nexec something\n");
        symlink("python3.11", place.path("python3")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, bytes).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// What is said of a script; `@` is this directory.
    #[track_caller]
    fn check(&self, script: &str, expect: &str) {
        let at = self.0.path().to_str().unwrap();
        self.write("ansible-playbook", script.replace('@', at).as_bytes());
        let said = match of(Path::new(&self.path("ansible-playbook")), at) {
            Ok(found) => format!("{} {}", found.program.display(), found.flags.join(" ")),
            Err(error) => error.to_string(),
        };
        let said = said.replace(at, "@");
        assert!(said.starts_with(expect), "{script:?}\n{said}\n{expect}");
    }
}

#[test]
fn the_first_line_names_the_interpreter() {
    let place = Place::new();
    place.check(&format!("#!@/python3{BODY}"), "@/python3 ");
    place.check(&format!("#! @/python3.11 -sP{BODY}"), "@/python3.11 -sP");
    place.check(&format!("#!/usr/bin/env python3{BODY}"), "@/python3 ");
    place.check(
        &format!("#!/usr/bin/env -S python3 -I{BODY}"),
        "@/python3 -I",
    );
}

#[test]
fn a_path_that_is_too_long_for_the_first_line_stands_in_the_second() {
    let place = Place::new();
    let at = place.0.path().to_str().unwrap().to_owned();
    for program in [format!("{at}/python3"), format!("\"{at}/python3\"")] {
        let script = format!("#!/bin/sh\n'''exec' {program} \"$0\" \"$@\"\n' '''{BODY}");
        place.write("ansible-playbook", script.as_bytes());
        let found = of(&place.path("ansible-playbook"), "/nowhere").unwrap();
        assert_eq!(place.path("python3"), found.program);
    }
}

#[test]
fn what_is_no_such_script_runs_as_it_is() {
    let place = Place::new();
    let other = "`@/ansible-playbook` is not a Python script";
    place.check("\x7fELF", other);
    place.check("", other);
    place.check(&format!("#!/bin/bash{BODY}"), other);
    place.check(&format!("#!@/python3 -c pass{BODY}"), other);
    place.check(&format!("#!/usr/bin/env FOO=1 python3{BODY}"), other);
    place.check(&format!("#!/usr/bin/pypy3{BODY}"), other);
    place.check(
        "#!@/python3\nimport os\nos.execv('/opt/run', ['run'])\n",
        "`@/ansible-playbook` does more than to start Ansible",
    );
    place.check(
        &format!("#!@/python9{BODY}"),
        "`@/ansible-playbook` asks for `@/python9`, which is not there",
    );
    place.check(
        &format!("#!@/shims/python3{BODY}"),
        "`@/shims/python3` is not a Python script",
    );
    let missing = of(&place.path("nothing"), "/").unwrap_err().to_string();
    assert!(missing.contains("cannot be read"), "{missing}");
}

#[test]
fn a_link_is_followed() {
    let place = Place::new();
    let at = place.0.path().to_str().unwrap();
    place.write(
        "venv/ansible-playbook",
        format!("#!{at}/python3{BODY}").as_bytes(),
    );
    symlink("venv/ansible-playbook", place.path("ansible-playbook")).unwrap();
    let found = of(&place.path("ansible-playbook"), "/").unwrap();
    assert_eq!(place.path("python3"), found.program);
}
