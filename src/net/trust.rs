//! Which certificates a client trusts, for https calls and for sockets that speak TLS themselves. Pure.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, RootCertStore};
use ureq::tls::{Certificate, PemItem, RootCerts};

/// Whom to trust; cheap to clone.
#[derive(Clone, Default)]
pub struct Trust(Option<Arc<Vec<Certificate<'static>>>>);

impl Trust {
    /// Trusts the usual public authorities. Nothing is loaded yet.
    pub fn public() -> Self {
        Self(None)
    }

    /// Trusts nobody but the certificates in a PEM text, authorities or single servers.
    ///
    /// Errors with a few words on what is wrong with the text.
    pub fn only(pem: &[u8]) -> Result<Self, String> {
        let mut certificates: Vec<Certificate<'static>> = Vec::new();
        for item in ureq::tls::parse_pem(pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
                // A key beside its certificate is none of our business.
                Ok(_) => {}
                Err(_) => return Err("it is not valid PEM".to_owned()),
            }
        }
        if certificates.is_empty() {
            return Err("it holds no certificate in PEM form".to_owned());
        }
        // The clients leave out silently what they cannot use.
        if add(&mut RootCertStore::empty(), &certificates) > 0 {
            return Err("one of its certificates cannot be read".to_owned());
        }
        Ok(Self(Some(Arc::new(certificates))))
    }

    /// Returns what the HTTP client wants.
    pub(crate) fn for_http(&self) -> RootCerts {
        match &self.0 {
            None => RootCerts::WebPki,
            Some(certificates) => RootCerts::Specific(certificates.clone()),
        }
    }

    /// Returns what a TLS socket wants.
    pub(crate) fn for_sockets(&self) -> RootCertStore {
        match &self.0 {
            None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
            Some(certificates) => {
                let mut store = RootCertStore::empty();
                add(&mut store, certificates);
                store
            }
        }
    }
}

/// Returns how many could not be used.
fn add(store: &mut RootCertStore, certificates: &[Certificate<'static>]) -> usize {
    let ders = certificates
        .iter()
        .map(|certificate| CertificateDer::from(certificate.der()));
    store.add_parsable_certificates(ders).1
}

/// Returns why a call failed if the service's certificate was not accepted.
pub(crate) fn distrust(error: &ureq::Error) -> Option<String> {
    match error {
        ureq::Error::Rustls(rustls::Error::InvalidCertificate(reason)) => Some(explain(reason)),
        ureq::Error::Io(error) => distrust_io(error),
        _ => None,
    }
}

/// The same for a socket of its own.
pub(crate) fn distrust_io(error: &std::io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(reason) => Some(explain(reason)),
        _ => None,
    }
}

fn explain(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer => "nobody that is trusted has issued it".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another host".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired".to_owned()
        }
        // What `openssl req -x509` makes if it is not told otherwise; the TLS library has no class of its own for it.
        other if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is an authority's, not a server's; make it with basicConstraints CA:FALSE"
                .to_owned()
        }
        other => other.to_string(),
    }
}
