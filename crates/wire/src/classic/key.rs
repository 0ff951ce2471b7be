//! The public key of opcode 10: PEM text of an X.509 SubjectPublicKeyInfo (RFC 7468, RFC 5280).
//!
//! The text is parsed as leniently as by the original's library (pyca/cryptography): lines of any
//! length, text or NUL around the block. The DER in it is parsed strictly.
//!
//! Two forms are accepted: PKCS#3 `dhKeyAgreement` (p, g), which the original sends and this crate
//! writes, and X9.42 `dhpublicnumber` (p, g, q; RFC 3279), which OpenSSL writes for known groups.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Sequence};
use pem::{EncodeConfig, LineEnding, Pem};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

const LABEL: &str = "PUBLIC KEY";
const PKCS3: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.3.1");
const X942: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10046.2.1");

/// A Diffie-Hellman public value with its group. Each number is an unsigned big-endian integer
/// without leading zeros. Ranges and primality are not checked here: the receiver has to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhPublicKey {
    /// The group's prime modulus.
    pub prime: Vec<u8>,
    /// The generator of the group.
    pub generator: Vec<u8>,
    /// The sender's public value.
    pub public: Vec<u8>,
}

/// Why the body of a 10 is not a public key (rule C-06).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DhKeyError {
    /// Not PEM text whose first block has the label `PUBLIC KEY`.
    #[error("the key is not PEM text labelled PUBLIC KEY")]
    Pem,
    /// Not DER, or not of the expected structure.
    #[error("the key's DER is not a SubjectPublicKeyInfo with Diffie-Hellman parameters")]
    Der,
    /// The key is for another algorithm than Diffie-Hellman.
    #[error("the key's algorithm is not Diffie-Hellman")]
    Algorithm,
}

/// PKCS #3, section 9.
#[derive(Sequence)]
struct Pkcs3Parameters<'a> {
    prime: UintRef<'a>,
    base: UintRef<'a>,
    private_value_length: Option<UintRef<'a>>,
}

/// RFC 3279, section 2.3.3.
#[derive(Sequence)]
struct DomainParameters<'a> {
    p: UintRef<'a>,
    g: UintRef<'a>,
    q: UintRef<'a>,
    j: Option<UintRef<'a>>,
    validation: Option<AnyRef<'a>>,
}

impl DhPublicKey {
    /// Parses either form of the key.
    pub fn from_pem(text: &[u8]) -> Result<Self, DhKeyError> {
        let contents = der_of_pem(text)?;
        let key = SubjectPublicKeyInfoRef::from_der(&contents).map_err(|_| DhKeyError::Der)?;
        let is_pkcs3 = key.algorithm.oid == PKCS3;
        if !is_pkcs3 && key.algorithm.oid != X942 {
            return Err(DhKeyError::Algorithm);
        }
        let parameters = key.algorithm.parameters.ok_or(DhKeyError::Der)?;
        let (prime, generator) = if is_pkcs3 {
            let group: Pkcs3Parameters<'_> = parameters.decode_as().map_err(|_| DhKeyError::Der)?;
            (group.prime, group.base)
        } else {
            let group: DomainParameters<'_> =
                parameters.decode_as().map_err(|_| DhKeyError::Der)?;
            (group.p, group.g)
        };
        let public = key.subject_public_key.as_bytes().ok_or(DhKeyError::Der)?;
        let public = UintRef::from_der(public).map_err(|_| DhKeyError::Der)?;
        let bytes = |integer: UintRef<'_>| integer.as_bytes().to_vec();
        Ok(Self { prime: bytes(prime), generator: bytes(generator), public: bytes(public) })
    }

    /// Writes the PKCS#3 form, which both originals read.
    pub fn to_pem(&self) -> Result<String, DhKeyError> {
        let der = |_: der::Error| DhKeyError::Der;
        let group = Pkcs3Parameters {
            prime: UintRef::new(&self.prime).map_err(der)?,
            base: UintRef::new(&self.generator).map_err(der)?,
            private_value_length: None,
        };
        let group = group.to_der().map_err(der)?;
        let public = UintRef::new(&self.public).and_then(|public| public.to_der()).map_err(der)?;
        let key = SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef {
                oid: PKCS3,
                parameters: Some(AnyRef::try_from(group.as_slice()).map_err(der)?),
            },
            subject_public_key: BitStringRef::from_bytes(&public).map_err(der)?,
        };
        let key = key.to_der().map_err(der)?;
        Ok(pem::encode_config(
            &Pem::new(LABEL, key),
            EncodeConfig::new().set_line_ending(LineEnding::LF),
        ))
    }
}

/// The bytes inside the PEM text of a 10: the DER of its SubjectPublicKeyInfo, not yet parsed.
pub fn der_of_pem(text: &[u8]) -> Result<Vec<u8>, DhKeyError> {
    let block = pem::parse(text).map_err(|_| DhKeyError::Pem)?;
    if block.tag() == LABEL { Ok(block.into_contents()) } else { Err(DhKeyError::Pem) }
}
