//! Image files for tests, made on the spot.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};

/// Makes a picture with a slope in it, so that rows and columns differ.
pub(crate) fn picture(width: u32, height: u32) -> DynamicImage {
    DynamicImage::ImageRgba8(RgbaImage::from_fn(width, height, |x, y| {
        let slope = |at: u32, size: u32| u8::try_from(at * 255 / size.max(1)).unwrap_or(255);
        Rgba([slope(x, width), slope(y, height), 128, 255])
    }))
}

/// Encodes a picture.
pub(crate) fn file(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let opaque = DynamicImage::ImageRgb8(picture.to_rgb8());
    let picture = if format == ImageFormat::Jpeg {
        &opaque
    } else {
        picture
    };
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Makes a PNG file.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    file(&picture(width, height), ImageFormat::Png)
}

/// Makes a JPEG file.
pub(crate) fn jpeg(width: u32, height: u32) -> Vec<u8> {
    file(&picture(width, height), ImageFormat::Jpeg)
}

/// Makes a picture that no encoder makes smaller.
pub(crate) fn noise(width: u32, height: u32, alpha: u8) -> DynamicImage {
    let mut state = 1_u32;
    DynamicImage::ImageRgba8(RgbaImage::from_fn(width, height, |_, _| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let [red, green, blue, _] = state.to_le_bytes();
        Rgba([red, green, blue, alpha])
    }))
}

/// Makes a JPEG file that is large for its size.
pub(crate) fn noisy_jpeg(width: u32, height: u32) -> Vec<u8> {
    file(&noise(width, height, 255), ImageFormat::Jpeg)
}
