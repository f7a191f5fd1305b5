//! Files of every format, broken and hostile ones, and what becomes of them.

use image::{GenericImageView, ImageFormat, Rgba, RgbaImage};
use proptest::prelude::*;

use super::testing::{file, jpeg, noise, noisy_jpeg, picture, png};
use super::*;

const FORMATS: [(ImageFormat, MediaType); 4] = [
    (ImageFormat::Png, MediaType::Png),
    (ImageFormat::Jpeg, MediaType::Jpeg),
    (ImageFormat::WebP, MediaType::Webp),
    (ImageFormat::Gif, MediaType::Gif),
];

fn decoded(image: &Image) -> DynamicImage {
    assert_eq!(kind_of(&image.data), Some(image.media_type), "{image:?}");
    let decoded = image::load_from_memory(&image.data).unwrap();
    assert_eq!(decoded.dimensions(), (image.width, image.height));
    decoded
}

/// The colour at a place given in parts of the whole, and the nearest of some names.
fn colour_at(image: &DynamicImage, right: f32, down: f32) -> [u8; 4] {
    let at = |part: f32, size: u32| ((size - 1) as f32 * part) as u32;
    image
        .get_pixel(at(right, image.width()), at(down, image.height()))
        .0
}

fn assert_near(found: [u8; 4], expected: [u8; 4]) {
    let far = found
        .iter()
        .zip(expected)
        .any(|(found, expected)| found.abs_diff(expected) > 24);
    assert!(!far, "{found:?} instead of {expected:?}");
}

#[test]
fn every_format_is_known_by_its_bytes() {
    for (format, kind) in FORMATS {
        let bytes = file(&picture(40, 30), format);
        assert_eq!(kind_of(&bytes), Some(kind));
        assert_eq!(kind_of(&bytes[..12]), Some(kind));
        let image = prepare(&bytes, "liar.txt").unwrap();
        assert_eq!((image.width, image.height), (40, 30), "{kind:?}");
        assert_near(colour_at(&decoded(&image), 0.5, 0.5), [128, 128, 128, 255]);
        assert_eq!(image.name, "liar.txt");
        assert_eq!(image.digest, digest(&image.data));
    }
    for other in [
        &b""[..],
        b"GIF",
        b"GIF88a......",
        b"RIFF\0\0\0\0WAVE",
        b"BM......",
        b"%PDF-1.7",
        b"hello, this is photo.png",
        b"\x89PNG",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ] {
        assert_eq!(kind_of(other), None, "{other:?}");
        assert_eq!(prepare(other, "a.png"), Err(ImageError::NotAnImage));
    }
}

#[test]
fn large_images_are_scaled_and_keep_their_shape() {
    for (width, height, scaled) in [
        (1_568, 10, (1_568, 10)),
        (1_569, 200, (1_568, 200)),
        (300, 3_200, (147, 1_568)),
        (9_000, 3, (1_568, 1)),
    ] {
        let image = prepare(&jpeg(width, height), "a").unwrap();
        assert_eq!((image.width, image.height), scaled);
        decoded(&image);
    }
    let image = prepare(&png(3_600, 300), "a").unwrap();
    let decoded = decoded(&image);
    assert_near(colour_at(&decoded, 0.0, 0.0), [0, 0, 128, 255]);
    assert_near(colour_at(&decoded, 1.0, 0.0), [255, 0, 128, 255]);
    assert_near(colour_at(&decoded, 1.0, 1.0), [255, 255, 128, 255]);
}

#[test]
fn drawings_stay_png_and_photos_become_jpeg() {
    let drawing = prepare(&png(800, 600), "a").unwrap();
    assert_eq!(drawing.media_type, MediaType::Png);
    assert_eq!(
        prepare(&jpeg(10, 10), "a").unwrap().media_type,
        MediaType::Jpeg
    );
    let large = file(&noise(1_200, 1_200, 255), ImageFormat::Png);
    assert!(large.len() > 3_500_000);
    let noise = prepare(&large, "a").unwrap();
    assert_eq!(noise.media_type, MediaType::Jpeg);
    assert!(noise.data.len() <= MAX_BYTES);
}

#[test]
fn transparent_images_stay_transparent_while_they_fit() {
    let mut sheet = RgbaImage::from_pixel(64, 64, Rgba([255, 0, 0, 255]));
    sheet.put_pixel(0, 0, Rgba([0, 0, 255, 0]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let bytes = file(&DynamicImage::ImageRgba8(sheet.clone()), format);
        let image = prepare(&bytes, "a").unwrap();
        assert_eq!(image.media_type, MediaType::Png, "{format:?}");
        assert_eq!(colour_at(&decoded(&image), 0.0, 0.0)[3], 0);
    }
    let large = file(&noise(1_500, 1_500, 0), ImageFormat::Png);
    let laid = prepare(&large, "a").unwrap();
    assert_eq!(laid.media_type, MediaType::Jpeg);
    assert_near(colour_at(&decoded(&laid), 0.5, 0.5), [255, 255, 255, 255]);
}

#[test]
fn a_tight_limit_is_kept() {
    let bytes = noisy_jpeg(400, 400);
    for limit in [80_000, 40_000, 16_384] {
        let image = prepare_within(&bytes, "a", limit).unwrap();
        assert!(image.data.len() <= limit, "{limit}");
        decoded(&image);
    }
    assert_eq!(
        prepare_within(&bytes, "a", 100),
        Err(ImageError::DoesNotFit)
    );
}

/// Puts an EXIF block that holds only an orientation behind a JPEG's first mark.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    let block = [&[0xFF, 0xE1][..], &length, &exif].concat();
    [&jpeg[..2], &block, &jpeg[2..]].concat()
}

#[test]
fn photos_are_turned_upright_and_lose_their_metadata() {
    let plain = jpeg(200, 100);
    // What stands in the upper left corner after turning.
    for (orientation, size, corner) in [
        (1, (200, 100), [0, 0]),
        (3, (200, 100), [255, 255]),
        (6, (100, 200), [0, 255]),
        (8, (100, 200), [255, 0]),
    ] {
        let image = prepare(&with_orientation(&plain, orientation), "a").unwrap();
        assert_eq!((image.width, image.height), size, "{orientation}");
        let [red, green, ..] = colour_at(&decoded(&image), 0.0, 0.0);
        assert_near([red, green, 0, 0], [corner[0], corner[1], 0, 0]);
        assert!(!image.data.windows(4).any(|bytes| bytes == b"Exif"));
    }
}

#[test]
fn a_jpeg_that_fits_stays_as_it_is() {
    let plain = jpeg(300, 200);
    let image = prepare(&plain, "a").unwrap();
    assert_eq!(*image.data, *plain);
    let again = prepare(&image.data, "a").unwrap();
    assert_eq!(again, image);
    let photo = prepare(&jpeg(2_000, 500), "a").unwrap();
    assert_eq!(prepare(&photo.data, "a").unwrap(), photo, "twice is once");
}

#[test]
fn broken_files_give_a_sentence() {
    for (format, _) in FORMATS {
        let whole = file(&picture(300, 200), format);
        for part in [12, 20, 40, whole.len() / 2, whole.len() - 20] {
            match prepare(&whole[..part], "a") {
                Err(ImageError::Broken | ImageError::TooManyPixels) => {}
                // A JPEG shows as much as there is.
                Ok(image) => assert_ne!(*image.data, whole[..part], "{format:?} {part}"),
                other => panic!("{format:?} cut to {part}: {other:?}"),
            }
        }
        let mut spoiled = whole.clone();
        spoiled[12..].iter_mut().for_each(|byte| *byte = !*byte);
        assert!(prepare(&spoiled, "a").is_err(), "{format:?}");
    }
    assert_eq!(
        ImageError::Broken.to_string(),
        "the image is broken or cut off"
    );
}

/// Headers that claim sizes they have no data for.
#[test]
fn bombs_are_refused_before_they_are_decoded() {
    let png = |width: u32, height: u32| {
        let mut bytes = png(8, 8);
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let sum = crc(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    let gif = |width: u16, height: u16| {
        let mut bytes = file(&picture(8, 8), ImageFormat::Gif);
        bytes[6..8].copy_from_slice(&width.to_le_bytes());
        bytes[8..10].copy_from_slice(&height.to_le_bytes());
        bytes
    };
    let jpeg = |width: u16, height: u16| {
        let mut bytes = jpeg(8, 8);
        let frame = bytes.windows(2).position(|mark| mark == [0xFF, 0xC0]);
        let at = frame.unwrap() + 5;
        bytes[at..at + 2].copy_from_slice(&height.to_be_bytes());
        bytes[at + 2..at + 4].copy_from_slice(&width.to_be_bytes());
        bytes
    };
    for bytes in [
        png(50_000, 50_000),
        png(1_000_000, 51),
        png(u32::MAX, u32::MAX),
        png(0x7FFF_FFFF, 1),
        gif(u16::MAX, u16::MAX),
        jpeg(u16::MAX, u16::MAX),
        jpeg(10_000, 5_001),
    ] {
        let refused = prepare(&bytes, "a").unwrap_err();
        let expected = [ImageError::TooManyPixels, ImageError::Broken];
        assert!(expected.contains(&refused), "{refused:?}");
    }
    assert_eq!(
        prepare(&png(50_000, 50_000), "a"),
        Err(ImageError::TooManyPixels)
    );
    for (width, height) in [(0, 5), (5, 0)] {
        assert!(prepare(&png(width, height), "a").is_err());
    }
    let huge = [&png(8, 8)[..], &vec![0; 32 * 1024 * 1024]].concat();
    assert_eq!(prepare(&huge, "a"), Err(ImageError::FileTooBig));
}

/// The checksum of PNG chunks.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let carry = if sum & 1 == 1 { 0xEDB8_8320 } else { 0 };
            (sum >> 1) ^ carry
        })
    })
}

#[test]
fn names_become_plain() {
    let image = prepare(&png(2, 2), "/home/me/写真 [1].jpg").unwrap();
    assert_eq!(image.note(), "[image: 写真 (1).jpg, 2x2]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_give_an_image_or_a_sentence(
        which in 0..FORMATS.len(),
        at in 8..400_usize,
        junk in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = file(&picture(16, 16), FORMATS[which].0);
        let at = at.min(bytes.len());
        bytes.splice(at..(at + junk.len()).min(bytes.len()), junk);
        if let Ok(image) = prepare(&bytes, "a") {
            prop_assert!(image.data.len() <= MAX_BYTES);
            prop_assert!(image.width.max(image.height) <= LONG_EDGE);
            prop_assert!(image::load_from_memory(&image.data).is_ok() || *image.data == bytes);
        }
    }
}
