//! A TLS 1.3 client: embedded-tls, unmodified, on the core's Embassy side. The server is `openssl s_server`, on the kernel's TCP.
//!
//! ```sh
//! cargo run -p host-sim --features embassy --example tls_client
//! ```
//!
//! [`TcpStream`] is what embedded-tls asks for as it stands. The server's certificate is made at the start and verified: its signature, its
//! times and its name. Ends with 0 if all came as expected.

#[path = "support/server.rs"]
mod server;
mod support;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail, ensure};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{Read, Write as _};
use embedded_tls::pki::CertVerifier;
use embedded_tls::{
    Aes128GcmSha256, Certificate, CryptoProvider, CryptoRngCore, FlushPolicy, TlsConfig, TlsConnection, TlsContext,
    TlsError, TlsVerifier,
};
use host_sim::family::Family;
use rand_core::OsRng;
use server::Server;
use tcp_reset_core::embassy::{TcpStack, TcpStream};
use tcp_reset_core::{CloseReason, StreamOptions};

const PORT: u16 = 4433;
/// The name in the certificate.
const NAME: &str = "kernel.test";
/// A name that is not in it.
const OTHER_NAME: &str = "other.test";
/// The server reverses each line.
const LINE_LEN: usize = 64;
/// What is sent before the answer is read: more than the connection's buffers, and less than the kernel's, as the server does not read on while
/// its answer cannot leave.
const PART_LEN: usize = 16_384;
const PARTS: usize = 4;
/// What ends the conversation.
const LAST_LINE: &[u8] = b"CLOSE\n";
/// The largest record.
const RECORD_LEN: usize = 16_640;
const SENT_RECORD_LEN: usize = 4_096;
const CERTIFICATE_LEN: usize = 1_024;
/// How long all of it may take in one family.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<ExitCode> {
    support::run(|_, tcp| async move {
        let (_server, certificate) = start_server()?;
        for family in Family::ALL {
            let played = with_timeout(PATIENCE, play(tcp, family, &certificate)).await;
            played.map_err(|_| anyhow!("the server has not answered over {family} in time"))??;
        }
        Ok(0)
    })
}

/// Goes through a conversation, and through a handshake that must fail.
async fn play(tcp: TcpStack, family: Family, certificate: &[u8]) -> Result<()> {
    let reason = converse(tcp, family, certificate).await?;
    println!("{family}: ended: {reason}");
    ensure!(reason == CloseReason::PeerClosed, "this is no orderly end");
    match shake_hands_only(tcp, family, certificate, OTHER_NAME).await {
        Ok(()) => bail!("{family}: the certificate is taken for one of {OTHER_NAME}"),
        Err(error) => {
            println!("{family}: as {OTHER_NAME}: {error}");
            ensure!(matches!(error.downcast_ref(), Some(TlsError::InvalidCertificate)), "this is no mismatch of names");
        }
    }
    Ok(())
}

/// Sends lines, judges what comes back, and closes; gives how the connection ended.
async fn converse(tcp: TcpStack, family: Family, certificate: &[u8]) -> Result<CloseReason> {
    let (mut received, mut to_send) = (vec![0; RECORD_LEN], vec![0; SENT_RECORD_LEN]);
    let stream = tcp.connect((family.peer_addr(), PORT), StreamOptions::default()).await?;
    let mut tls = TlsConnection::new(stream, &mut received, &mut to_send);
    let config = TlsConfig::new().with_server_name(NAME);
    tls.open(TlsContext::new(&config, Provider::new(certificate))).await.context("the handshake")?;
    println!("{family}: the certificate is one of {NAME}");
    // Otherwise it would wait after each record until the server has acknowledged it, which Linux does after 40 ms.
    tls.set_flush_policy(FlushPolicy::Relaxed);
    let mut came_back = 0;
    for part in 0..PARTS {
        let (lines, reversed) = lines(part);
        tls.write_all(lines.as_bytes()).await.context("sending")?;
        tls.flush().await.context("sending")?;
        let mut answer = vec![0; reversed.len()];
        tls.read_exact(&mut answer).await.map_err(|error| anyhow!("receiving: {error:?}"))?;
        ensure!(answer == reversed.as_bytes(), "these are not the lines, reversed");
        came_back += answer.len();
    }
    println!("{family}: {came_back} of {} bytes came back, each line reversed", PARTS * PART_LEN);
    tls.write_all(LAST_LINE).await.context("sending")?;
    tls.flush().await.context("sending")?;
    end(tls).await
}

/// Expects the server's close_notify, answers it, and closes.
async fn end(mut tls: TlsConnection<'_, TcpStream, Aes128GcmSha256>) -> Result<CloseReason> {
    match tls.read(&mut [0; LINE_LEN]).await {
        // The end of the stream has the same error; only the alert closes the session.
        Err(TlsError::ConnectionClosed) if !tls.is_opened() => {}
        other => bail!("this is no close_notify: {other:?}"),
    }
    let mut stream = tls.close().await.map_err(|(_, error)| error).context("our close_notify")?;
    ensure!(stream.read(&mut [0; LINE_LEN]).await? == 0, "something follows close_notify");
    stream.shutdown()?;
    Ok(stream.closed().await)
}

/// Opens a session, and drops it at once.
async fn shake_hands_only(tcp: TcpStack, family: Family, certificate: &[u8], name: &str) -> Result<()> {
    let (mut received, mut to_send) = (vec![0; RECORD_LEN], vec![0; SENT_RECORD_LEN]);
    let stream = tcp.connect((family.peer_addr(), PORT), StreamOptions::default()).await?;
    let mut tls = TlsConnection::new(stream, &mut received, &mut to_send);
    let config = TlsConfig::new().with_server_name(name);
    Ok(tls.open(TlsContext::new(&config, Provider::new(certificate))).await?)
}

/// Lines of numbers, and the same with each line reversed.
fn lines(part: usize) -> (String, String) {
    let (mut lines, mut reversed) = (String::new(), String::new());
    for line in 0..PART_LEN / LINE_LEN {
        let text = format!("{:0width$}", (part << 16 | line) * 7_919, width = LINE_LEN - 1);
        let backwards: String = text.chars().rev().collect();
        // Writing to a string never fails.
        let _ = writeln!(lines, "{text}");
        let _ = writeln!(reversed, "{backwards}");
    }
    (lines, reversed)
}

/// What embedded-tls needs from outside.
struct Provider<'a> {
    verifier: CertVerifier<'a, Aes128GcmSha256, SystemTime, CERTIFICATE_LEN>,
}

impl<'a> Provider<'a> {
    /// Trusts this certificate.
    fn new(certificate: &'a [u8]) -> Provider<'a> {
        Provider { verifier: CertVerifier::new(Certificate::X509(certificate)) }
    }
}

impl CryptoProvider for Provider<'_> {
    type CipherSuite = Aes128GcmSha256;
    /// The client has no certificate to sign with.
    type Signature = [u8; 0];

    fn rng(&mut self) -> impl CryptoRngCore {
        OsRng
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Aes128GcmSha256>, TlsError> {
        Ok(&mut self.verifier)
    }
}

/// Starts a server that listens at every address of the namespace; gives its certificate.
fn start_server() -> Result<(Server, Vec<u8>)> {
    let openssl = server::find("openssl")?;
    let folder = tempfile::tempdir().context("cannot make a folder for the certificate")?;
    let [key, certificate] = make_certificate(&openssl, folder.path())?;
    let port = PORT.to_string();
    let listens = ["s_server", "-tls1_3", "-rev", "-accept", &port];
    let owns = ["-key", &key, "-certform", "DER", "-cert", &certificate];
    let server = Server::start(&openssl, &[&listens[..], &owns].concat(), folder, PORT)?;
    Ok((server, fs::read(certificate).context("cannot read the certificate")?))
}

/// Makes a key and a certificate that the key itself signs; gives the names of their files.
fn make_certificate(openssl: &Path, folder: &Path) -> Result<[String; 2]> {
    let [key, certificate] = ["key.pem", "certificate.der"].map(|name| folder.join(name).display().to_string());
    let (subject, name) = (format!("/CN={NAME}"), format!("subjectAltName=DNS:{NAME}"));
    let output = Command::new(openssl)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256"])
        .args(["-days", "2", "-subj", &subject, "-addext", &name])
        .args(["-keyout", &key, "-outform", "DER", "-out", &certificate])
        .output()
        .context("cannot start openssl")?;
    ensure!(output.status.success(), "openssl req: {}", String::from_utf8_lossy(&output.stderr));
    Ok([key, certificate])
}
