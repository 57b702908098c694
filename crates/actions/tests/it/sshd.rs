//! A host that can be reached by SSH: this one, through a server of the test's
//! own, with its own keys and port.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use nix::unistd::{User, geteuid};
use tempfile::TempDir;

/// Ends with its connections when it is dropped.
pub(crate) struct Sshd {
    dir: TempDir,
    port: u16,
    is_over: Arc<AtomicBool>,
    listener: Option<JoinHandle<Vec<Child>>>,
}

impl Sshd {
    /// `None`: OpenSSH is not installed.
    pub(crate) fn start() -> Option<Self> {
        let program = testkit::tools::sshd()?;
        if geteuid().is_root() {
            // It refuses to work without.
            fs_err::create_dir_all("/run/sshd").unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        for name in ["host", "client"] {
            let key = dir.path().join(name);
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(&key)
                .status()
                .unwrap();
            assert!(made.success());
        }
        let here = dir.path().display();
        let config = format!(
            "HostKey {here}/host\nAuthorizedKeysFile {here}/client.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n"
        );
        let file = dir.path().join("sshd_config");
        fs_err::write(&file, config).unwrap();

        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let listener = std::thread::spawn(move || {
            let mut servers = Vec::new();
            for connection in socket.incoming() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                servers.push(serve(&program, &file, connection.unwrap()));
            }
            servers
        });
        Some(Self {
            dir,
            port,
            is_over,
            listener: Some(listener),
        })
    }

    /// What an inventory says of this host.
    pub(crate) fn host(&self) -> String {
        let user = User::from_uid(geteuid()).unwrap().unwrap().name;
        let key = self.dir.path().join("client");
        format!(
            "far ansible_connection=ssh ansible_host=127.0.0.1 ansible_port={} ansible_user={user} ansible_ssh_private_key_file={} ansible_ssh_common_args='-F /dev/null -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'\n",
            self.port,
            key.display()
        )
    }
}

/// One server for one connection.
fn serve(program: &Path, config: &Path, connection: TcpStream) -> Child {
    let output = connection.try_clone().unwrap();
    Command::new(program)
        .args(["-i", "-e", "-f"])
        .arg(config)
        .stdin(Stdio::from(OwnedFd::from(connection)))
        .stdout(Stdio::from(OwnedFd::from(output)))
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        let servers = self.listener.take().map(JoinHandle::join);
        for mut server in servers.into_iter().flatten().flatten() {
            server.kill().ok();
            server.wait().ok();
        }
    }
}
