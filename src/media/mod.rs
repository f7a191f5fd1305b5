//! Image files: judged by their first bytes, decoded within limits, turned upright, scaled down and encoded anew, so that
//! every model service takes them and nothing but the picture goes out (no place, no camera, no hidden data).
//!
//! Runs and blocks on the caller's thread, for a second with a large photo: turns and their tools, and the command that
//! sends; never the `session` or `gateway-io` thread. Large pictures take turns, because one may need a quarter of a
//! gigabyte while it is decoded. Deliberately not here: where images come from, where they are stored, how they are sent.

mod encode;
#[cfg(test)]
pub(crate) mod testing;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use sha2::{Digest, Sha256};

use crate::chat::{Image, MediaType, plain_file_name};
use encode::Encoded;

/// Largest file that is looked at.
pub const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;
/// Largest image that is sent to a model, in bytes. Services take 5 MB of base64; this is 4.7.
const MAX_BYTES: usize = 3_500_000;
/// Longest edge of an image that is sent to a model; services scale larger ones down themselves.
const LONG_EDGE: u32 = 1_568;
/// Shorter edges that are tried in turn until the image fits.
const EDGES: [u32; 4] = [1_024, 640, 320, 160];
/// Most pixels that are decoded: the largest photos of common phones.
const MAX_PIXELS: u64 = 50_000_000;
/// Most memory for the decoded pixels.
const MAX_DECODED_BYTES: u64 = 256 * 1024 * 1024;
/// Images of more pixels than this are decoded one at a time.
const LARGE_PIXELS: u64 = 2_000_000;

/// Why a file gives no image; each text continues a sentence that starts with the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImageError {
    /// Its first bytes are those of no format in use.
    #[error("it is not a PNG, JPEG, WebP or GIF image")]
    NotAnImage,
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("the file is larger than {} MiB", MAX_FILE_BYTES / 1024 / 1024)]
    FileTooBig,
    /// It says that it is larger than is decoded.
    #[error("it has more than {} million pixels, or too much data for them", MAX_PIXELS / 1_000_000)]
    TooManyPixels,
    /// It cannot be decoded.
    #[error("the image is broken or cut off")]
    Broken,
    /// It stays too large however it is encoded.
    #[error("the image cannot be made small enough")]
    DoesNotFit,
}

/// Tells the format of a file by its first 12 bytes; `None` for everything that is no image in use.
pub fn kind_of(head: &[u8]) -> Option<MediaType> {
    if head.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(MediaType::Png)
    } else if head.starts_with(b"\xFF\xD8\xFF") {
        Some(MediaType::Jpeg)
    } else if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") {
        Some(MediaType::Gif)
    } else if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        Some(MediaType::Webp)
    } else {
        None
    }
}

/// Makes an image of a file that fits into a request to any model: upright, its long edge at most 1,568 pixels, at most
/// 3.5 MB of JPEG or PNG. Of an animation the first frame is taken.
///
/// The name of the file does not tell what it is. Blocks while it decodes.
pub fn prepare(bytes: &[u8], name: &str) -> Result<Image, ImageError> {
    prepare_within(bytes, name, MAX_BYTES)
}

/// Like [`prepare`], with another limit of bytes.
pub fn prepare_within(bytes: &[u8], name: &str, max_bytes: usize) -> Result<Image, ImageError> {
    let kind = kind_of(bytes).ok_or(ImageError::NotAnImage)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ImageError::FileTooBig);
    }
    // A decoder's panic is the file's fault.
    let encoded = catch_unwind(AssertUnwindSafe(|| convert(bytes, kind, max_bytes)))
        .unwrap_or(Err(ImageError::Broken))?;
    Ok(Image {
        digest: digest(&encoded.bytes),
        media_type: encoded.kind,
        width: encoded.width,
        height: encoded.height,
        name: plain_file_name(name),
        data: encoded.bytes.into(),
    })
}

fn convert(bytes: &[u8], kind: MediaType, max_bytes: usize) -> Result<Encoded, ImageError> {
    static LARGE: Mutex<()> = Mutex::new(());
    let decoder = open(bytes, kind)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    let turn =
        (pixels > LARGE_PIXELS).then(|| LARGE.lock().unwrap_or_else(PoisonError::into_inner));
    let source = decode(decoder)?;
    if kind == MediaType::Jpeg && bytes.len() <= max_bytes && source.is_final(bytes) {
        return Ok(Encoded {
            kind,
            width,
            height,
            bytes: bytes.to_vec(),
        });
    }
    let mut image = scaled(source.image, LONG_EDGE);
    drop(turn);
    image.apply_orientation(source.orientation);
    let lossless = matches!(kind, MediaType::Png | MediaType::Gif);
    let long_edge = image.width().max(image.height());
    let smaller = EDGES.into_iter().filter(|edge| *edge < long_edge);
    for edge in std::iter::once(long_edge).chain(smaller) {
        image = scaled(image, edge);
        if let Some(encoded) = encode::encode(&image, lossless, max_bytes)? {
            return Ok(encoded);
        }
    }
    Err(ImageError::DoesNotFit)
}

/// Reads the head of a file and judges the size it claims before anything is decoded.
fn open(bytes: &[u8], kind: MediaType) -> Result<impl ImageDecoder, ImageError> {
    let format = match kind {
        MediaType::Png => ImageFormat::Png,
        MediaType::Jpeg => ImageFormat::Jpeg,
        MediaType::Webp => ImageFormat::WebP,
        MediaType::Gif => ImageFormat::Gif,
    };
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(fault)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(ImageError::Broken);
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS || decoder.total_bytes() > MAX_DECODED_BYTES {
        return Err(ImageError::TooManyPixels);
    }
    Ok(decoder)
}

fn fault(error: image::ImageError) -> ImageError {
    match error {
        image::ImageError::Limits(_) => ImageError::TooManyPixels,
        _ => ImageError::Broken,
    }
}

/// A decoded file.
struct Source {
    image: DynamicImage,
    orientation: Orientation,
    /// Whether the file says more than its pixels.
    has_metadata: bool,
}

impl Source {
    /// Whether the file may go out as it is: encoding it again would only cost quality.
    fn is_final(&self, bytes: &[u8]) -> bool {
        let long_edge = self.image.width().max(self.image.height());
        // A file without its end mark was cut off.
        long_edge <= LONG_EDGE && !self.has_metadata && bytes.ends_with(b"\xFF\xD9")
    }
}

fn decode(mut decoder: impl ImageDecoder) -> Result<Source, ImageError> {
    // What cannot be read may be there: then the file is encoded anew.
    let exif = decoder.exif_metadata().map_or(true, |data| data.is_some());
    let has_metadata = exif
        || decoder.icc_profile().map_or(true, |data| data.is_some())
        || decoder.xmp_metadata().map_or(true, |data| data.is_some())
        || decoder.iptc_metadata().map_or(true, |data| data.is_some());
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(fault)?;
    Ok(Source {
        image,
        orientation,
        has_metadata,
    })
}

/// Scales an image down until its long edge fits; never up. Large steps are made with the filter that needs no memory.
fn scaled(image: DynamicImage, edge: u32) -> DynamicImage {
    let long_edge = image.width().max(image.height());
    if long_edge <= edge {
        return image;
    }
    let near = if long_edge / 2 > edge {
        image.thumbnail(2 * edge, 2 * edge)
    } else {
        image
    };
    near.resize(edge, edge, image::imageops::FilterType::CatmullRom)
}

fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
