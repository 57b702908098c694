use super::count;

#[test]
fn no_sanity_test_at_all_is_a_failure() {
    let text = "Running sanity test \"ansible-doc\"\nRunning sanity test \"compile\"\n";
    assert_eq!(count(text).unwrap(), 2);
    let nothing = count("WARNING: All targets skipped.\n").unwrap_err();
    assert!(nothing.to_string().contains("All targets skipped"));
}
