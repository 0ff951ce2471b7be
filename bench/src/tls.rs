//! The peer of D-DDES/2: rustls, TLS 1.3 with X25519MLKEM768, Ed25519 certificates on both sides, no resumption. Each 8 bytes a client sends are an
//! integer; the server answers with the connection's sum, 16 bytes.

use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const NAME: &str = "localhost";

/// Two certificates, each its own root, in a folder that client and server share.
pub(crate) fn make_certificates(folder: &Path) -> Result<(), String> {
    for name in ["server", "client"] {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(text)?;
        let certificate =
            CertificateParams::new(vec![NAME.into()]).and_then(|params| params.self_signed(&key));
        let write =
            |suffix: &str, bytes: &[u8]| std::fs::write(folder.join(format!("{name}.{suffix}")), bytes);
        write("crt", certificate.map_err(text)?.der()).map_err(text)?;
        write("key", &key.serialize_der()).map_err(text)?;
    }
    Ok(())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

type Pair = (Vec<CertificateDer<'static>>, PrivatePkcs8KeyDer<'static>);

fn pair(folder: &Path, name: &str) -> Result<Pair, String> {
    let read = |suffix: &str| std::fs::read(folder.join(format!("{name}.{suffix}"))).map_err(text);
    Ok((vec![read("crt")?.into()], read("key")?.into()))
}

fn roots(folder: &Path, name: &str) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in pair(folder, name)?.0 {
        roots.add(certificate).map_err(text)?;
    }
    Ok(roots.into())
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768];
    provider.into()
}

/// Serves until killed; says where it listens.
pub(crate) fn serve(folder: &Path) -> Result<(), String> {
    let (certificates, key) = pair(folder, "server")?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(folder, "client")?, provider());
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(text)?
        .with_client_cert_verifier(verifier.build().map_err(text)?)
        .with_single_cert(certificates, key.into())
        .map_err(text)?;
    config.send_tls13_tickets = 0;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        println!("listening {}", listener.local_addr().map_err(text)?);
        loop {
            let (stream, _) = listener.accept().await.map_err(text)?;
            stream.set_nodelay(true).map_err(text)?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let (mut value, mut sum) = ([0; 8], 0_i128);
                while stream.read_exact(&mut value).await.is_ok() {
                    sum += i128::from(i64::from_be_bytes(value));
                    if stream.write_all(&sum.to_be_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    })
}

/// What the clients share.
pub(crate) struct Dialler {
    connector: TlsConnector,
    address: String,
}

impl Dialler {
    pub(crate) fn new(folder: &Path, address: &str) -> Result<Self, String> {
        let (certificates, key) = pair(folder, "client")?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(text)?
            .with_root_certificates(roots(folder, "server")?)
            .with_client_auth_cert(certificates, key.into())
            .map_err(text)?;
        config.resumption = Resumption::disabled();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), address: address.to_owned() })
    }

    pub(crate) async fn connect(&self) -> Result<TlsStream<TcpStream>, String> {
        let stream = TcpStream::connect(&self.address).await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        let name = ServerName::try_from(NAME).map_err(text)?;
        self.connector.connect(name, stream).await.map_err(text)
    }
}

/// One integer, and the sum with it.
pub(crate) async fn count(stream: &mut TlsStream<TcpStream>, value: i64) -> Result<i128, String> {
    let mut sum = [0; 16];
    stream.write_all(&value.to_be_bytes()).await.map_err(text)?;
    stream.flush().await.map_err(text)?;
    stream.read_exact(&mut sum).await.map_err(text)?;
    Ok(i128::from_be_bytes(sum))
}
