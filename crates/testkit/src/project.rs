//! A project in a directory of its own, gone with the test.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Files below a temporary directory.
#[derive(Debug)]
pub struct TempProject {
    dir: TempDir,
}

impl TempProject {
    /// Writes each file with its text, with the directories above it.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("lariat-test-")
            .tempdir()
            .unwrap();
        let project = Self { dir };
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn join(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Writes a file anew.
    pub fn write(&self, path: &str, text: &str) {
        let full = self.join(path);
        let above = full.parent().expect("a file lies in a directory");
        fs_err::create_dir_all(above).unwrap();
        fs_err::write(&full, text).unwrap();
    }

    /// Writes a file that can be executed.
    pub fn write_program(&self, path: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;

        self.write(path, text);
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(self.join(path), mode).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.join(path)).unwrap()
    }
}

#[cfg(test)]
mod tests;
