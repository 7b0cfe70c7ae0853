//! The sealed form of a segment, byte by byte. Knows no files and no rows.
//!
//! ```text
//! head    "HWSEG01\n"  salt[32]
//! frame   sealed length u32   plain length u32   last u8 (0 or 1)   AES-256-GCM(zstd(plain))     numbers little-endian
//! ```
//! The key is HKDF(seal key, salt): each segment has its own, so the frame number may be the nonce. Salt, frame number and
//! the frame's head are authenticated with it: frames can be neither reordered, dropped, cut off nor moved between segments.

use zstd::bulk::{Compressor, Decompressor};

use crate::platform::random;
use crate::platform::secret::{Aead, NotOpened, Secret, hkdf_salted};

pub(super) const MAGIC: &[u8; 8] = b"HWSEG01\n";
pub(super) const HEAD_BYTES: usize = 8 + 32;
pub(super) const FRAME_HEAD_BYTES: usize = 4 + 4 + 1;
const LABEL: &str = "headwater landing segment v1";

/// The seal of one segment: its key and where it stands in it.
pub(super) struct Seal {
    aead: Aead,
    salt: [u8; 32],
    frame: u64,
}

/// What stands in clear before a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) sealed_bytes: u32,
    pub(super) plain_bytes: u32,
    pub(super) last: bool,
}

impl FrameHead {
    fn to_bytes(self) -> [u8; FRAME_HEAD_BYTES] {
        let mut out = [0; FRAME_HEAD_BYTES];
        out[..4].copy_from_slice(&self.sealed_bytes.to_le_bytes());
        out[4..8].copy_from_slice(&self.plain_bytes.to_le_bytes());
        out[8] = u8::from(self.last);
        out
    }

    pub(super) fn parse(bytes: &[u8; FRAME_HEAD_BYTES]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, last] = *bytes;
        Some(Self {
            sealed_bytes: u32::from_le_bytes([a, b, c, d]),
            plain_bytes: u32::from_le_bytes([e, f, g, h]),
            last: match last {
                0 => false,
                1 => true,
                _ => return None,
            },
        })
    }
}

impl Seal {
    /// A new segment's seal, and its head.
    pub(super) fn create(seal_key: &Secret) -> (Self, [u8; HEAD_BYTES]) {
        let salt: [u8; 32] = random::bytes();
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(MAGIC);
        head[8..].copy_from_slice(&salt);
        (Self::with(seal_key, salt), head)
    }

    /// The seal of a segment that begins with `head`; `None` when it is none of ours.
    pub(super) fn of(seal_key: &Secret, head: &[u8; HEAD_BYTES]) -> Option<Self> {
        let (magic, salt) = head.split_first_chunk::<8>()?;
        (magic == MAGIC).then_some(())?;
        Some(Self::with(seal_key, salt.try_into().ok()?))
    }

    fn with(seal_key: &Secret, salt: [u8; 32]) -> Self {
        Self {
            aead: Aead::new(&hkdf_salted(seal_key, &salt, LABEL)),
            salt,
            frame: 0,
        }
    }

    /// The next frame: head and sealed content. `None` when `plain` is longer than a frame can be (4 GiB).
    pub(super) fn seal(&mut self, zstd: &mut Compressor<'_>, plain: &[u8], last: bool) -> Option<([u8; FRAME_HEAD_BYTES], Vec<u8>)> {
        let mut content = zstd.compress(plain).ok()?;
        let head = FrameHead {
            sealed_bytes: u32::try_from(content.len() + crate::platform::secret::TAG_BYTES).ok()?,
            plain_bytes: u32::try_from(plain.len()).ok()?,
            last,
        }
        .to_bytes();
        let (nonce, aad) = self.step(&head);
        self.aead.seal(nonce, &aad, &mut content);
        Some((head, content))
    }

    /// The plain content of the next frame, into `plain`. `sealed` is used up.
    pub(super) fn open(
        &mut self,
        zstd: &mut Decompressor<'_>,
        head: FrameHead,
        sealed: &mut Vec<u8>,
        plain: &mut Vec<u8>,
    ) -> Result<(), NotOpened> {
        let (nonce, aad) = self.step(&head.to_bytes());
        self.aead.open(nonce, &aad, sealed)?;
        // Only now is the length ours, and worth an allocation.
        let length = head.plain_bytes as usize;
        plain.clear();
        plain.reserve(length);
        let written = zstd.decompress_to_buffer(sealed, plain).map_err(|_| NotOpened)?;
        if written == length { Ok(()) } else { Err(NotOpened) }
    }

    fn step(&mut self, head: &[u8; FRAME_HEAD_BYTES]) -> ([u8; 12], [u8; 32 + 8 + FRAME_HEAD_BYTES]) {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.frame.to_le_bytes());
        let mut aad = [0; 32 + 8 + FRAME_HEAD_BYTES];
        aad[..32].copy_from_slice(&self.salt);
        aad[32..40].copy_from_slice(&self.frame.to_le_bytes());
        aad[40..].copy_from_slice(head);
        self.frame += 1;
        (nonce, aad)
    }
}
