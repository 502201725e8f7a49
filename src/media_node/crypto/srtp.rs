//! SRTP's ciphers: AES-GCM (RFC 7714) by ring, AES in counter mode (RFC 3711) by the `aes` and `ctr` crates.

use aes::{
    Aes128, Aes256,
    cipher::{Block, BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher},
};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, SrtpProvider, SupportedAeadAes128Gcm,
    SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

/// Of both forms of AES-GCM (RFC 7714 12).
const TAG_BYTES: usize = 16;

#[derive(Debug)]
pub(super) struct Srtp;

impl SrtpProvider for Srtp {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &Srtp
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Srtp
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Srtp
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        round::<Aes128>(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        round::<Aes256>(key, input, output);
    }
}

/// One block of the key derivation (RFC 3711 4.3.3). The caller takes the first block of `output` and gives room for two,
/// because other libraries pad.
fn round<C: KeyInit + BlockCipherEncrypt>(key: &[u8], input: &[u8], output: &mut [u8]) {
    let cipher = C::new_from_slice(key).expect("the profile's key has its cipher's length");
    let mut block = Block::<C>::try_from(input).expect("the derivation gives one block");
    cipher.encrypt_block(&mut block);
    output[..block.len()].copy_from_slice(&block);
}

impl SupportedAes128CmSha1_80 for Srtp {
    fn create_cipher(&self, key: [u8; 16], _encrypt: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        Box::new(Counter(key))
    }
}

impl SupportedAeadAes128Gcm for Srtp {
    fn create_cipher(&self, key: [u8; 16], _encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Gcm::new(&AES_128_GCM, &key))
    }
}

impl SupportedAeadAes256Gcm for Srtp {
    fn create_cipher(&self, key: [u8; 32], _encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Gcm::new(&AES_256_GCM, &key))
    }
}

struct Counter([u8; 16]);

impl std::fmt::Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counter").finish_non_exhaustive()
    }
}

impl Aes128CmSha1_80Cipher for Counter {
    fn encrypt(&mut self, iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        let mut cipher = ctr::Ctr128BE::<Aes128>::new((&self.0).into(), iv.into());
        let output = &mut output[..input.len()];
        output.copy_from_slice(input);
        cipher.apply_keystream(output);
        Ok(())
    }

    fn decrypt(&mut self, iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.encrypt(iv, input, output)
    }
}

#[derive(Debug)]
struct Gcm(LessSafeKey);

impl Gcm {
    fn new(algorithm: &'static Algorithm, key: &[u8]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(algorithm, key).expect("the profile's key has its cipher's length")))
    }

    fn seal(&self, iv: &[u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        let (text, rest) = output.split_at_mut(input.len());
        text.copy_from_slice(input);
        let nonce = Nonce::assume_unique_for_key(*iv);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), text).map_err(|_| failed("encrypt"))?;
        rest[..TAG_BYTES].copy_from_slice(tag.as_ref());
        Ok(())
    }

    /// `output` has room for the text, not always for the tag.
    fn open(&self, iv: &[u8; 12], aads: &[&[u8]], input: &[u8], output: &mut [u8]) -> Result<usize, CryptoError> {
        let joined;
        let aad = match aads {
            [one] => *one,
            many => {
                joined = many.concat();
                &joined
            }
        };
        let (text, tag) =
            input.split_at_checked(input.len().wrapping_sub(TAG_BYTES)).ok_or_else(|| failed("decrypt"))?;
        let tag = tag.try_into().map_err(|_| failed("decrypt"))?;
        let output = &mut output[..text.len()];
        output.copy_from_slice(text);
        let nonce = Nonce::assume_unique_for_key(*iv);
        let opened = self.0.open_in_place_separate_tag(nonce, Aad::from(aad), tag, output, 0..);
        Ok(opened.map_err(|_| failed("decrypt"))?.len())
    }
}

fn failed(what: &str) -> CryptoError {
    CryptoError::Other(format!("AES-GCM: cannot {what}"))
}

macro_rules! by_gcm {
    ($cipher:ident) => {
        impl $cipher for Gcm {
            fn encrypt(
                &mut self,
                iv: &[u8; 12],
                aad: &[u8],
                input: &[u8],
                output: &mut [u8],
            ) -> Result<(), CryptoError> {
                self.seal(iv, aad, input, output)
            }

            fn decrypt(
                &mut self,
                iv: &[u8; 12],
                aads: &[&[u8]],
                input: &[u8],
                output: &mut [u8],
            ) -> Result<usize, CryptoError> {
                self.open(iv, aads, input, output)
            }
        }
    };
}

by_gcm!(AeadAes128GcmCipher);
by_gcm!(AeadAes256GcmCipher);

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_key_derivation_is_that_of_rfc_3711_b_3() {
        // master key; its salt, shifted by two bytes, is the counter of the first block: the cipher key
        let (key, salt) = (bytes("e1f97a0d3e018be0d64fa32c06de4139"), bytes("0ec675ad498afeebb6960b3aabe60000"));
        let mut out = [0; 32];
        Srtp.srtp_aes_128_ecb_round(&key, &salt, &mut out);
        assert_eq!(out[..16], bytes("c61e7a93744f39ee10734afe3ff7a087"));
    }

    #[test]
    fn the_counter_is_that_of_rfc_3711_b_2() {
        let key: [u8; 16] = bytes("2b7e151628aed2a6abf7158809cf4f3c").try_into().unwrap();
        let iv: [u8; 16] = bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000").try_into().unwrap();
        let mut out = [0; 32];
        Counter(key).encrypt(&iv, &[0; 32], &mut out).unwrap();
        assert_eq!(out[..], bytes("e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab"));
    }

    #[test]
    fn gcm_seals_as_rfc_7714_16_1_1_and_opens_what_was_sealed_only() {
        let key: [u8; 16] = bytes("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
        let iv: [u8; 12] = bytes("51753c6580c2726f20718414").try_into().unwrap();
        let header = bytes("8040f17b8041f8d35501a0b2");
        let text = bytes("47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
        let sealed = bytes(
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
             899d7f27beb16a9152cf765ee4390cce",
        );
        let gcm = Gcm::new(&AES_128_GCM, &key);
        let mut out = vec![0; text.len() + TAG_BYTES];
        gcm.seal(&iv, &header, &text, &mut out).unwrap();
        assert_eq!(out, sealed);
        let mut opened = vec![0; text.len()];
        assert_eq!(gcm.open(&iv, &[&header[..4], &header[4..]], &sealed, &mut opened).unwrap(), text.len());
        assert_eq!(opened, text);
        let mut forged = sealed.clone();
        forged[3] ^= 1;
        assert!(gcm.open(&iv, &[&header], &forged, &mut opened).is_err());
        assert!(gcm.open(&iv, &[&header], &sealed[..7], &mut opened).is_err());
    }
}
