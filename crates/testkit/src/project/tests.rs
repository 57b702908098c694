use super::*;

#[test]
fn a_project_is_written_and_goes_with_its_value() {
    let project = TempProject::new(&[
        ("lariat.yml", "listen: x\n"),
        ("rules/a.yml", "rules: []\n"),
    ]);
    project.write_program("bin/run", "#!/bin/sh\n");
    assert_eq!(project.read("rules/a.yml"), "rules: []\n");
    let root = project.path().to_path_buf();
    drop(project);
    assert!(!root.exists());
}
