//! A private certificate authority, a server's certificate for the loopback,
//! and client certificates; as files, since that is how servers and clients
//! take them.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Where the files are. All are PEM.
#[derive(Debug)]
pub struct Certificates {
    dir: PathBuf,
    /// The authority's certificate: what a client has to trust.
    pub ca: PathBuf,
    pub(super) server: PathBuf,
    pub(super) server_key: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Certificates {
    pub(super) fn make(dir: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named("Lariat's test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = dir.join("ca.pem");
        fs_err::write(&ca, params.self_signed(&key).unwrap().pem()).unwrap();
        let mut certificates = Self {
            dir: dir.to_owned(),
            ca,
            server: PathBuf::new(),
            server_key: PathBuf::new(),
            issuer: Issuer::new(params, key),
        };
        let hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(hosts).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (certificates.server, certificates.server_key) = certificates.issue("server", params);
        certificates
    }

    /// A client's certificate for `user`, and its key.
    pub fn client(&self, user: &str) -> (PathBuf, PathBuf) {
        let mut params = named(user);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(user, params)
    }

    fn issue(&self, name: &str, mut params: CertificateParams) -> (PathBuf, PathBuf) {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let paths = ["pem", "key"].map(|kind| self.dir.join(format!("{name}.{kind}")));
        fs_err::write(&paths[0], certificate.pem()).unwrap();
        fs_err::write(&paths[1], key.serialize_pem()).unwrap();
        let [certificate, key] = paths;
        (certificate, key)
    }
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}
