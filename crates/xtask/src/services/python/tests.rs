use super::*;

/// Which minor version is taken of those that a machine has.
#[track_caller]
fn check(wanted: &Wanted, minors: &[u8], expect: Result<u8, &str>) {
    let pythons: Vec<Python> = minors
        .iter()
        .map(|minor| Python {
            program: PathBuf::from("python3"),
            minor: *minor,
        })
        .collect();
    let chosen = wanted.choose(&pythons).map(|python| python.minor);
    assert_eq!(expect.map_err(str::to_owned), chosen);
}

#[test]
fn an_environment_gets_a_python_that_it_runs_on() {
    check(&Wanted::Usual, &[11, 9, 13], Ok(11));
    check(&Wanted::Usual, &[], Err("needs Python 3"));
    check(&Wanted::Newest, &[11, 13, 12], Ok(13));
    check(&Wanted::Within(10..=12), &[11, 12], Ok(11));
    check(&Wanted::Within(10..=12), &[13, 10, 12], Ok(12));
    check(&Wanted::OldestOf(9..=11), &[11, 8, 10], Ok(10));
    check(
        &Wanted::OldestOf(9..=11),
        &[12],
        Err("needs a Python from 3.9 to 3.11, on PATH or below pyenv"),
    );
}
