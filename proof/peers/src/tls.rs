//! The peer of D-DDES/2: rustls, TLS 1.3 with X25519MLKEM768, Ed25519 certificates on both sides,
//! no resumption. Each 8 bytes a client sends are an integer; the server answers with the
//! connection's sum, 16 bytes. Or it answers each 32 bytes with themselves.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, server};

const NAME: &str = "localhost";
const ECHO_BYTES: usize = 32;

/// Two certificates, each its own root, in a folder that client and server share: as PEM for Redis,
/// as DER for rustls.
pub(crate) fn make_certificates(folder: &Path) -> Result<(), String> {
    for name in ["server", "client"] {
        let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
        let (certificate_pem, key_pem) = (format!("{certificate}.pem"), format!("{key}.pem"));
        let subject = format!("/CN={NAME}");
        let alternative = format!("subjectAltName=DNS:{NAME}");
        let extensions = [
            ["-addext", "basicConstraints=critical,CA:FALSE"],
            ["-addext", &alternative],
            // Nobody needs them, and they would be sent.
            ["-addext", "subjectKeyIdentifier=none"],
            ["-addext", "authorityKeyIdentifier=none"],
        ];
        let extensions = extensions.as_flattened();
        let make =
            ["req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "30", "-subj", &subject];
        openssl(
            folder,
            &[&make[..], extensions, &["-keyout", &key_pem, "-out", &certificate_pem]].concat(),
        )?;
        openssl(
            folder,
            &["x509", "-in", &certificate_pem, "-outform", "der", "-out", &certificate],
        )?;
        openssl(
            folder,
            &["pkcs8", "-topk8", "-nocrypt", "-in", &key_pem, "-outform", "der", "-out", &key],
        )?;
    }
    Ok(())
}

fn openssl(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output();
    let output = output.map_err(|error| format!("cannot run openssl: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("openssl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
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

/// How the keys are agreed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exchange {
    Hybrid,
    /// OpenSSL 3.0 knows no other of rustls' kind.
    X25519,
}

fn provider(exchange: Exchange) -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = match exchange {
        Exchange::Hybrid => vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768],
        Exchange::X25519 => vec![rustls::crypto::aws_lc_rs::kx_group::X25519],
    };
    provider.into()
}

/// What the server does with a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Service {
    Sums,
    Echo,
}

/// Serves until killed; says where it listens.
pub(crate) fn serve(folder: &Path, service: Service) -> Result<(), String> {
    let (certificates, key) = pair(folder, "server")?;
    let provider = provider(Exchange::Hybrid);
    let verifier = WebPkiClientVerifier::builder_with_provider(
        roots(folder, "client")?,
        Arc::clone(&provider),
    );
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(text)?
        .with_client_cert_verifier(verifier.build().map_err(text)?)
        .with_single_cert(certificates, key.into())
        .map_err(text)?;
    config.send_tls13_tickets = 0;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        println!("listening {}", listener.local_addr().map_err(text)?);
        loop {
            let (stream, _) = listener.accept().await.map_err(text)?;
            stream.set_nodelay(true).map_err(text)?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                // It ends when the client goes.
                drop(match service {
                    Service::Sums => sums(stream).await,
                    Service::Echo => echo(stream).await,
                });
            });
        }
    })
}

async fn sums(mut stream: server::TlsStream<TcpStream>) -> std::io::Result<()> {
    let (mut value, mut sum) = ([0; 8], 0_i128);
    loop {
        stream.read_exact(&mut value).await?;
        sum += i128::from(i64::from_be_bytes(value));
        stream.write_all(&sum.to_be_bytes()).await?;
    }
}

async fn echo(mut stream: server::TlsStream<TcpStream>) -> std::io::Result<()> {
    let mut message = [0; ECHO_BYTES];
    loop {
        stream.read_exact(&mut message).await?;
        stream.write_all(&message).await?;
    }
}

/// What the clients share.
pub(crate) struct Dialler {
    connector: TlsConnector,
    address: String,
}

impl Dialler {
    pub(crate) fn new(folder: &Path, address: &str, exchange: Exchange) -> Result<Self, String> {
        let (certificates, key) = pair(folder, "client")?;
        let mut config = ClientConfig::builder_with_provider(provider(exchange))
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

/// Thirty-two bytes there and back.
pub(crate) async fn ask_echo(stream: &mut TlsStream<TcpStream>) -> Result<(), String> {
    let (message, mut answer) = ([7; ECHO_BYTES], [0; ECHO_BYTES]);
    stream.write_all(&message).await.map_err(text)?;
    stream.flush().await.map_err(text)?;
    stream.read_exact(&mut answer).await.map_err(text)?;
    if answer == message { Ok(()) } else { Err("the echo is not what was sent".into()) }
}
