use std::os::unix::fs::PermissionsExt;

use super::*;

fn made() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let (cert, key) = made();
        files.put("cert.pem", &cert, 0o644);
        files.put("key.pem", &key, 0o600);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str, mode: u32) {
        let new = self.path("new");
        fs_err::write(&new, text).unwrap();
        fs_err::set_permissions(&new, std::fs::Permissions::from_mode(mode)).unwrap();
        fs_err::rename(new, self.path(name)).unwrap();
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::load(self.path("cert.pem"), self.path("key.pem"))
    }
}

fn in_use(tls: &Tls) -> *const ServerConfig {
    Arc::as_ptr(&tls.shared.now.read().unwrap().config)
}

#[test]
fn what_cannot_be_used_is_named() {
    let files = Files::new();
    assert!(files.load().is_ok());
    let (cert, key) = made();
    files.put("key.pem", &key, 0o600);
    let error = files.load().unwrap_err();
    assert!(matches!(error, TlsError::Unusable { .. }), "{error}");
    files.put("cert.pem", &cert, 0o644);
    assert!(files.load().is_ok());
    files.put("key.pem", &key, 0o604);
    let error = files.load().unwrap_err().to_string();
    assert!(error.contains("mode 0604"), "{error}");
    files.put("key.pem", &key, 0o640);
    assert!(files.load().is_ok(), "a group may be who serves");
    fs_err::remove_file(files.path("cert.pem")).unwrap();
    nix::unistd::mkfifo(&files.path("cert.pem"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = files.load().unwrap_err();
    assert!(matches!(error, TlsError::Unreadable { .. }), "{error}");
    files.put("cert.pem", "nothing", 0o644);
    let error = files.load().unwrap_err();
    assert!(matches!(error, TlsError::NoCertificate { .. }), "{error}");
    files.put("key.pem", "nothing", 0o600);
    files.put("cert.pem", &cert, 0o644);
    let error = files.load().unwrap_err();
    assert!(matches!(error, TlsError::NotPem { .. }), "{error}");
    fs_err::remove_file(files.path("cert.pem")).unwrap();
    let error = files.load().unwrap_err();
    assert!(matches!(error, TlsError::Unreadable { .. }), "{error}");
}

#[test]
fn a_good_change_is_taken_and_a_bad_one_is_not() {
    let files = Files::new();
    let tls = files.load().unwrap();
    let first = in_use(&tls);
    tls.look();
    assert_eq!(first, in_use(&tls), "nothing changed");
    let (cert, key) = made();
    files.put("cert.pem", &cert, 0o644);
    tls.look();
    assert_eq!(first, in_use(&tls), "a certificate of another key");
    files.put("key.pem", &key, 0o600);
    tls.look();
    assert_ne!(first, in_use(&tls), "both have changed");
}
