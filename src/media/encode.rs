//! Writing images: PNG where it is worth it, else JPEG. Pure; runs on the caller's thread.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, ImageEncoder, Rgb, RgbImage};

use super::ImageError;
use crate::chat::MediaType;

/// Opaque PNGs up to this size stay PNG: drawings and screen shots, whose letters JPEG would smear.
const MAX_OPAQUE_PNG_BYTES: usize = 1024 * 1024;
/// JPEG qualities that are tried in turn.
const QUALITIES: [u8; 3] = [85, 70, 50];

/// An image as a file.
pub(super) struct Encoded {
    pub(super) kind: MediaType,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) bytes: Vec<u8>,
}

/// Encodes an image in at most `max_bytes`; `None` if it does not fit. `lossless` tells that it came from a format that
/// loses nothing.
pub(super) fn encode(
    image: &DynamicImage,
    lossless: bool,
    max_bytes: usize,
) -> Result<Option<Encoded>, ImageError> {
    let made = |kind, bytes| {
        Ok(Some(Encoded {
            kind,
            width: image.width(),
            height: image.height(),
            bytes,
        }))
    };
    let transparent = is_transparent(image);
    if lossless || transparent {
        let most = if transparent {
            max_bytes
        } else {
            max_bytes.min(MAX_OPAQUE_PNG_BYTES)
        };
        let png = png(image, transparent)?;
        if png.len() <= most {
            return made(MediaType::Png, png);
        }
    }
    let opaque = on_white(image);
    for quality in QUALITIES {
        let jpeg = jpeg(&opaque, quality)?;
        if jpeg.len() <= max_bytes {
            return made(MediaType::Jpeg, jpeg);
        }
    }
    Ok(None)
}

fn is_transparent(image: &DynamicImage) -> bool {
    image.color().has_alpha() && image.to_rgba8().pixels().any(|pixel| pixel.0[3] < u8::MAX)
}

fn png(image: &DynamicImage, transparent: bool) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive);
    let plain = if transparent {
        DynamicImage::ImageRgba8(image.to_rgba8())
    } else {
        DynamicImage::ImageRgb8(image.to_rgb8())
    };
    plain.write_with_encoder(encoder).map_err(unwritable)?;
    Ok(bytes)
}

fn jpeg(image: &RgbImage, quality: u8) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .write_image(
            image.as_raw(),
            image.width(),
            image.height(),
            image::ExtendedColorType::Rgb8,
        )
        .map_err(unwritable)?;
    Ok(bytes)
}

/// Writing to memory fails only for what no encoder takes.
fn unwritable(error: image::ImageError) -> ImageError {
    log::warn!("an image cannot be encoded: {error}");
    ImageError::Broken
}

/// Lays an image on white, which is what transparent parts are meant to lie on more often than black.
fn on_white(image: &DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let source = image.to_rgba8();
    RgbImage::from_fn(source.width(), source.height(), |x, y| {
        let [red, green, blue, alpha] = source.get_pixel(x, y).0;
        let laid = |colour: u8| {
            let (colour, alpha) = (u32::from(colour), u32::from(alpha));
            let mixed = (colour * alpha + 255 * (255 - alpha)) / 255;
            u8::try_from(mixed).unwrap_or(u8::MAX)
        };
        Rgb([laid(red), laid(green), laid(blue)])
    })
}
