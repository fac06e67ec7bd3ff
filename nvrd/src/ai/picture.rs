//! Pictures on their way to a model: read with limits, and made smaller before they are sent.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use nvr_base::{Error, Result};

/// Most bytes of a picture as it comes.
pub const MAX_PICTURE_BYTES: usize = 12 << 20;
/// Longest side of a picture as it comes, pixels.
const MAX_SIDE: u32 = 8192;
/// Most memory that reading a picture may take, bytes.
const MAX_MEMORY: u64 = 64 << 20;
/// How well the JPEG is that is sent.
const QUALITY: u8 = 85;

/// With or without padding, as clients write it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A picture as somebody sent it: a JPEG or a PNG, not yet looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture(Vec<u8>);

/// A picture that was read.
pub(super) struct Decoded(DynamicImage);

impl Picture {
    /// The bytes of a JPEG or a PNG.
    ///
    /// # Errors
    /// `InvalidArgument` when there is nothing, or too much.
    pub fn of_bytes(bytes: Vec<u8>) -> Result<Self> {
        if bytes.is_empty() {
            return Err(Error::invalid("image: is empty"));
        }
        if bytes.len() > MAX_PICTURE_BYTES {
            return Err(Error::invalid(format!(
                "image: is larger than {MAX_PICTURE_BYTES} bytes"
            )));
        }
        Ok(Self(bytes))
    }

    /// The bytes as they came.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Base64, alone or as a `data:` URL of a JPEG or a PNG.
    ///
    /// # Errors
    /// `InvalidArgument` when it is neither.
    pub fn of_text(text: &str) -> Result<Self> {
        let text = text.trim();
        let coded = match text.strip_prefix("data:") {
            None => text,
            Some(url) => {
                let (kind, coded) = url
                    .split_once(',')
                    .ok_or_else(|| Error::invalid("image: the data URL has no comma"))?;
                if !matches!(
                    kind,
                    "image/jpeg;base64" | "image/jpg;base64" | "image/png;base64"
                ) {
                    return Err(Error::invalid(
                        "image: use a data URL of image/jpeg or image/png in base64",
                    ));
                }
                coded
            }
        };
        if coded.len() > MAX_PICTURE_BYTES.div_ceil(3) * 4 {
            return Err(Error::invalid(format!(
                "image: is larger than {MAX_PICTURE_BYTES} bytes"
            )));
        }
        let bytes = BASE64
            .decode(coded)
            .map_err(|error| Error::invalid(format!("image: is no base64: {error}")))?;
        Self::of_bytes(bytes)
    }

    /// Reads it. Blocks.
    ///
    /// # Errors
    /// `InvalidArgument` when it is no picture, or one that is too large: that is told by its header alone.
    pub(super) fn decoded(&self) -> Result<Decoded> {
        let wrong = |error: image::ImageError| match error {
            image::ImageError::Limits(_) => Error::invalid(format!(
                "image: is larger than {MAX_SIDE} pixels on a side or {} megabytes in memory",
                MAX_MEMORY >> 20
            )),
            other => Error::invalid(format!("image: cannot be read: {other}")),
        };
        let format = image::guess_format(&self.0).ok();
        let format = format.filter(|format| matches!(format, ImageFormat::Jpeg | ImageFormat::Png));
        let format = format.ok_or_else(|| Error::invalid("image: is neither a JPEG nor a PNG"))?;
        let reader = || {
            let mut reader = ImageReader::with_format(Cursor::new(&self.0), format);
            let mut limits = Limits::no_limits();
            limits.max_image_width = Some(MAX_SIDE);
            limits.max_image_height = Some(MAX_SIDE);
            limits.max_alloc = Some(MAX_MEMORY);
            reader.limits(limits);
            reader
        };
        let (width, height) = reader().into_dimensions().map_err(wrong)?;
        // Decoders may count their memory in their own way: four bytes for each pixel is what none exceeds by much.
        if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) * 4 > MAX_MEMORY {
            return Err(Error::invalid(format!(
                "image: {width} x {height} pixels are too many: use {} megapixels at most, and {MAX_SIDE} on a side",
                MAX_MEMORY / 4 / 1_000_000
            )));
        }
        Ok(Decoded(reader().decode().map_err(wrong)?))
    }
}

impl Decoded {
    /// A JPEG whose longer side is at most so many pixels; never enlarged. Blocks.
    pub(super) fn jpeg(&self, longest: u32) -> Result<Vec<u8>> {
        let picture = &self.0;
        let smaller = (picture.width().max(picture.height()) > longest)
            .then(|| picture.thumbnail(longest, longest));
        let rgb = smaller.as_ref().unwrap_or(picture).to_rgb8();
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
            .encode_image(&rgb)
            .map_err(|error| Error::internal("a picture cannot be written").with_source(error))?;
        Ok(jpeg)
    }
}

/// A JPEG as the chat interface takes it.
pub(super) fn data_url(jpeg: &[u8]) -> String {
    format!(
        "data:image/jpeg;base64,{}",
        general_purpose::STANDARD.encode(jpeg)
    )
}

/// A small picture to try a provider with: a red square on grey.
pub(super) fn sample() -> Picture {
    let picture = image::RgbImage::from_fn(96, 96, |x, y| {
        let inside = (24..72).contains(&x) && (24..72).contains(&y);
        image::Rgb(if inside { [200, 30, 30] } else { [128; 3] })
    });
    let mut png = Vec::new();
    picture
        .write_to(&mut Cursor::new(&mut png), ImageFormat::Png)
        .expect("a small picture always becomes a PNG");
    Picture(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG whose header says how large it is, and whose data are anything.
    fn png_header(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 6, 0, 0, 0]);
        let crc = crc(&bytes[12..]);
        bytes.extend(crc.to_be_bytes());
        bytes.extend(b"\0\0\0\0IDAT");
        bytes
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        })
    }

    #[test]
    fn what_is_no_picture_is_refused_by_a_sentence() {
        let check = |bytes: &[u8], says: &str| {
            let error = Picture::of_bytes(bytes.to_vec()).and_then(|picture| picture.decoded());
            let text = error.err().expect("no picture").to_string();
            assert!(text.starts_with("image: ") && text.contains(says), "{text}");
        };
        check(b"", "is empty");
        check(b"hello", "neither a JPEG nor a PNG");
        check(b"GIF89a\x01\0\x01\0", "neither a JPEG nor a PNG");
        check(b"\x89PNG\r\n\x1a\n", "cannot be read");
        check(b"\xff\xd8\xff\xe0\0\x10JFIF", "cannot be read");
        check(&png_header(30_000, 30_000), "larger than 8192 pixels");
        check(&png_header(8192, 8192), "too many");
        check(&png_header(u32::MAX, 1), "image: ");
        check(&png_header(100, 100), "cannot be read");
        check(&vec![0xff; MAX_PICTURE_BYTES + 1], "is larger than");
    }

    #[test]
    fn texts_are_read_as_clients_write_them() {
        let bytes = sample().0;
        let coded = general_purpose::STANDARD.encode(&bytes);
        for text in [
            coded.clone(),
            coded.trim_end_matches('=').to_owned(),
            format!("  data:image/png;base64,{coded}\n"),
        ] {
            assert_eq!(Picture::of_text(&text).unwrap().0, bytes);
        }
        for bad in [
            "data:image/png;base64",
            "data:image/svg+xml;base64,AAAA",
            "data:text/html,<p>",
            "not base64!",
            "",
        ] {
            let text = Picture::of_text(bad).unwrap_err().to_string();
            assert!(text.starts_with("image: "), "{bad}: {text}");
        }
    }

    #[test]
    fn pictures_get_smaller_and_never_larger() {
        let wide = DynamicImage::new_rgba16(2000, 500);
        let mut png = Vec::new();
        wide.write_to(&mut Cursor::new(&mut png), ImageFormat::Png)
            .unwrap();
        let decoded = Picture::of_bytes(png).unwrap().decoded().unwrap();
        for (longest, expect) in [(512, (512, 128)), (4096, (2000, 500))] {
            let jpeg = decoded.jpeg(longest).unwrap();
            let again = Picture::of_bytes(jpeg).unwrap().decoded().unwrap().0;
            assert_eq!((again.width(), again.height()), expect);
        }
    }
}
