//! The preprocessor against a slow reference in double precision, and its edges.

use proptest::prelude::*;

use super::*;
use crate::facts::{Layout, Letterbox};
use crate::half;
use crate::io::Element;

/// How far a value may be from the reference, in steps of a byte; the goal is 1.
const NEAR: f64 = 0.05;

fn spec(width: usize, height: usize) -> InputSpec {
    InputSpec {
        name: "in".to_owned(),
        element: Element::F32,
        layout: Layout::Nchw,
        width,
        height,
        channels: Channels::Bgr,
        scale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
        letterbox: Letterbox::TopLeft,
        pad: 114.0,
    }
}

/// Bilinear at `(x, y)` of a picture of `w` by `h` pixels, pixel centres at half coordinates.
fn bilinear(at: impl Fn(usize, usize) -> f64, (w, h): (usize, usize), x: f64, y: f64) -> f64 {
    let split = |v: f64, n: usize| {
        let v = (v - 0.5).clamp(0.0, (n - 1) as f64);
        (
            v.floor() as usize,
            (v.floor() as usize + 1).min(n - 1),
            v.fract(),
        )
    };
    let ((x0, x1, fx), (y0, y1, fy)) = (split(x, w), split(y, h));
    let row = |y| at(x0, y) * (1.0 - fx) + at(x1, y) * fx;
    row(y0) * (1.0 - fy) + row(y1) * fy
}

/// A whole tensor of an RGB picture, pixel by pixel.
fn reference(
    spec: &InputSpec,
    (w, h): (usize, usize),
    rgb: impl Fn(usize, usize, usize) -> f64,
) -> Vec<f64> {
    let g = Geometry::new(spec, w, h);
    let mut out = Vec::new();
    for c in 0..3 {
        let source = if spec.channels == Channels::Bgr {
            2 - c
        } else {
            c
        };
        for y in 0..spec.height {
            for x in 0..spec.width {
                let inside =
                    (g.x..g.x + g.width).contains(&x) && (g.y..g.y + g.height).contains(&y);
                let v = if inside {
                    let px = ((x - g.x) as f64 + 0.5) * w as f64 / g.width as f64;
                    let py = ((y - g.y) as f64 + 0.5) * h as f64 / g.height as f64;
                    bilinear(|x, y| rgb(x, y, source), (w, h), px, py)
                } else {
                    f64::from(spec.pad)
                };
                let v = v * f64::from(spec.scale) - f64::from(spec.mean[c]);
                out.push(v / f64::from(spec.std[c]));
            }
        }
    }
    out
}

fn noise(seed: u64, n: usize) -> Vec<u8> {
    let mut state = seed | 1;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

fn letterboxes() -> impl Strategy<Value = Letterbox> {
    prop_oneof![
        Just(Letterbox::TopLeft),
        Just(Letterbox::Center),
        Just(Letterbox::Stretch)
    ]
}

proptest! {
    #[test]
    fn rgb_equals_the_reference(
        (w, h) in (1_usize..70, 1_usize..70),
        (iw, ih) in (1_usize..40, 1_usize..40),
        padding in 0_usize..5,
        letterbox in letterboxes(),
        bgr in any::<bool>(),
        scale in 0.001_f32..2.0,
        mean in prop::array::uniform3(-100.0_f32..100.0),
        std in prop::array::uniform3(0.5_f32..60.0),
        seed in any::<u64>(),
    ) {
        let channels = if bgr { Channels::Bgr } else { Channels::Rgb };
        let spec = InputSpec { letterbox, channels, scale, mean, std, ..spec(iw, ih) };
        let stride = 3 * w + padding;
        let data = noise(seed, stride * h);
        let picture = Picture {
            width: w,
            height: h,
            pixels: Pixels::Rgb(Plane { data: &data, stride }),
            colour: Colour::BT601,
        };
        let mut tensor = InputTensor::default();
        Preprocessor::new(spec.clone()).fill(&picture, &mut tensor).unwrap();
        let expect = reference(&spec, (w, h), |x, y, c| f64::from(data[y * stride + 3 * x + c]));
        prop_assert_eq!(tensor.floats().len(), expect.len());
        let step = f64::from(scale) / std.iter().copied().map(f64::from).fold(60.0, f64::min);
        for (i, (a, b)) in tensor.floats().iter().zip(&expect).enumerate() {
            prop_assert!((f64::from(*a) - b).abs() < NEAR * step + 1e-3, "value {} is {} instead of {}", i, a, b);
        }
    }

    #[test]
    fn i420_and_nv12_equal_the_reference_and_each_other(
        (w, h) in (1_usize..50, 1_usize..50),
        letterbox in letterboxes(),
        full_range in any::<bool>(),
        hd in any::<bool>(),
        padding in 0_usize..5,
        seed in any::<u64>(),
    ) {
        let spec = InputSpec { letterbox, channels: Channels::Rgb, ..spec(24, 16) };
        let colour = Colour { full_range, ..if hd { Colour::BT709 } else { Colour::BT601 } };
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let y = noise(seed, (w + padding) * h);
        let u = noise(seed ^ 0xaaaa, (cw + padding) * ch);
        let v = noise(seed ^ 0x5555, (cw + padding) * ch);
        let mut uv = vec![0; (2 * cw + padding) * ch];
        for row in 0..ch {
            for x in 0..cw {
                uv[row * (2 * cw + padding) + 2 * x] = u[row * (cw + padding) + x];
                uv[row * (2 * cw + padding) + 2 * x + 1] = v[row * (cw + padding) + x];
            }
        }
        let plane = |data, stride| Plane { data, stride: stride + padding };
        let mut preprocessor = Preprocessor::new(spec.clone());
        let mut fill = |pixels| {
            let mut tensor = InputTensor::default();
            let picture = Picture { width: w, height: h, pixels, colour };
            preprocessor.fill(&picture, &mut tensor).unwrap();
            tensor.floats().to_vec()
        };
        let i420 = fill(Pixels::I420 { y: plane(&y, w), u: plane(&u, cw), v: plane(&v, cw) });
        let nv12 = fill(Pixels::Nv12 { y: plane(&y, w), uv: plane(&uv, 2 * cw) });
        prop_assert_eq!(&i420, &nv12);

        // The reference: each plane resized on its own, then the textbook equations.
        let g = Geometry::new(&spec, w, h);
        for row in 0..g.height {
            for column in 0..g.width {
                let (px, py) = (
                    (column as f64 + 0.5) * w as f64 / g.width as f64,
                    (row as f64 + 0.5) * h as f64 / g.height as f64,
                );
                let at = |d: &[u8], stride: usize, x: usize, y: usize| f64::from(d[y * (stride + padding) + x]);
                let l = bilinear(|a, b| at(&y, w, a, b), (w, h), px, py);
                let cb = bilinear(|a, b| at(&u, cw, a, b), (cw, ch), px / 2.0, py / 2.0) - 128.0;
                let cr = bilinear(|a, b| at(&v, cw, a, b), (cw, ch), px / 2.0, py / 2.0) - 128.0;
                let (kr, kb) = (f64::from(colour.kr), f64::from(colour.kb));
                let (l, s) = if full_range {
                    (l, 1.0)
                } else {
                    ((l - 16.0) * 255.0 / 219.0, 255.0 / 224.0)
                };
                let r = l + 2.0 * (1.0 - kr) * cr * s;
                let b = l + 2.0 * (1.0 - kb) * cb * s;
                let green = (l - kr * r - kb * b) / (1.0 - kr - kb);
                for (c, expect) in [r, green, b].into_iter().enumerate() {
                    let got = i420[(c * 16 + g.y + row) * 24 + g.x + column];
                    let expect = expect.clamp(0.0, 255.0);
                    prop_assert!((f64::from(got) - expect).abs() < NEAR, "{got} instead of {expect}");
                }
            }
        }
    }

    #[test]
    fn short_planes_are_refused(
        (w, h) in (0_usize..20, 0_usize..20),
        stride in 0_usize..70,
        len in 0_usize..900,
    ) {
        let data = noise(1, len);
        let plane = Plane { data: &data, stride };
        for pixels in [
            Pixels::Rgb(plane),
            Pixels::Nv12 { y: plane, uv: plane },
            Pixels::I420 { y: plane, u: plane, v: plane },
        ] {
            let picture = Picture { width: w, height: h, pixels, colour: Colour::BT709 };
            let mut tensor = InputTensor::default();
            // Whether it fits or not: no panic.
            let filled = Preprocessor::new(spec(8, 8)).fill(&picture, &mut tensor);
            prop_assert_eq!(filled.is_ok(), picture.check().is_ok());
        }
    }
}

#[test]
fn a_picture_lies_where_its_letterbox_says() {
    let lay = |letterbox, w, h| {
        let g = Geometry::new(
            &InputSpec {
                letterbox,
                ..spec(416, 416)
            },
            w,
            h,
        );
        (g.x, g.y, g.width, g.height)
    };
    assert_eq!(lay(Letterbox::TopLeft, 1920, 1080), (0, 0, 416, 234));
    assert_eq!(lay(Letterbox::Center, 1920, 1080), (0, 91, 416, 234));
    assert_eq!(lay(Letterbox::Center, 1080, 1920), (91, 0, 234, 416));
    assert_eq!(lay(Letterbox::Stretch, 1920, 1080), (0, 0, 416, 416));
    assert_eq!(lay(Letterbox::TopLeft, 768, 576), (0, 0, 416, 312));
    assert_eq!(lay(Letterbox::TopLeft, 100_000, 1), (0, 0, 416, 1));
}

#[test]
fn shares_undo_the_letterbox() {
    let g = Geometry::new(
        &InputSpec {
            letterbox: Letterbox::Center,
            ..spec(416, 416)
        },
        1920,
        1080,
    );
    assert_eq!(g.to_shares(0.0, 91.0), (0.0, 0.0));
    assert_eq!(g.to_shares(416.0, 325.0), (1.0, 1.0));
    assert_eq!(g.to_shares(208.0, 208.0), (0.5, 0.5));
}

#[test]
fn a_tensor_forgets_the_last_pictures_shape() {
    let mut preprocessor = Preprocessor::new(spec(8, 8));
    let mut tensor = InputTensor::default();
    let white = vec![255; 3 * 64];
    for (w, h) in [(8, 8), (8, 4)] {
        let picture = Picture {
            width: w,
            height: h,
            pixels: Pixels::Rgb(Plane {
                data: &white,
                stride: 3 * w,
            }),
            colour: Colour::by_height(h),
        };
        preprocessor.fill(&picture, &mut tensor).unwrap();
    }
    assert!(tensor.floats()[..32].iter().all(|v| *v == 255.0));
    assert!(tensor.floats()[32..64].iter().all(|v| *v == 114.0));
}

/// A picture whose values tell where they are from.
fn ramp(w: usize, h: usize) -> Vec<u8> {
    let pixels = (0..h).flat_map(|y| (0..w).map(move |x| [x as u8, y as u8, 7]));
    pixels.flatten().collect()
}

#[test]
fn a_region_is_cut_out_and_found_again() {
    let data = ramp(200, 100);
    let picture = Picture {
        width: 200,
        height: 100,
        pixels: Pixels::Rgb(Plane {
            data: &data,
            stride: 600,
        }),
        colour: Colour::BT601,
    };
    let spec = InputSpec {
        channels: Channels::Rgb,
        ..spec(20, 20)
    };
    let region = Region {
        x: 150,
        y: 40,
        width: 100,
        height: 40,
    };
    let mut tensor = InputTensor::default();
    let g = Preprocessor::new(spec.clone())
        .fill_region(&picture, region, &mut tensor)
        .unwrap();
    // Cut at the right edge: 50 by 40 pixels become 20 by 16.
    assert_eq!((g.region.width, g.width, g.height), (50, 20, 16));
    let at = |c: usize, x: usize, y: usize| tensor.floats()[(c * 20 + y) * 20 + x];
    // Pixel 0 is the middle of 2.5 pixels, which is sample 0.75.
    assert!((at(0, 0, 0) - 150.75).abs() < 0.05, "{}", at(0, 0, 0));
    assert!((at(1, 19, 15) - 78.25).abs() < 0.05);
    assert_eq!(at(2, 3, 16), 114.0);
    let (x, y) = g.to_shares(20.0, 8.0);
    assert!((x - 1.0).abs() < 1e-9 && (y - 0.6).abs() < 1e-9);
    let nothing = Region { x: 200, ..region };
    assert!(
        Preprocessor::new(spec)
            .fill_region(&picture, nothing, &mut tensor)
            .is_err()
    );
}

#[test]
fn every_type_and_layout_holds_the_same_picture() {
    let data = ramp(40, 30);
    let picture = Picture {
        width: 40,
        height: 30,
        pixels: Pixels::Rgb(Plane {
            data: &data,
            stride: 120,
        }),
        colour: Colour::BT601,
    };
    let fill = |spec: InputSpec| {
        let mut tensor = InputTensor::default();
        Preprocessor::new(spec).fill(&picture, &mut tensor).unwrap();
        tensor.values
    };
    let plain = spec(16, 16);
    let Values::F32(expect) = fill(plain.clone()) else {
        panic!("floats were asked for")
    };
    for layout in [Layout::Nchw, Layout::Nhwc] {
        for element in [Element::F32, Element::F16, Element::U8] {
            let other = InputSpec {
                layout,
                element,
                ..plain.clone()
            };
            let got: Vec<f32> = match fill(other.clone()) {
                Values::F32(v) => v,
                Values::F16(v) => v.into_iter().map(half::to_f32).collect(),
                Values::U8(v) => v.into_iter().map(f32::from).collect(),
            };
            for c in 0..3 {
                for at in 0..256 {
                    let (a, b) = (got[other.place(c, at)], expect[plain.place(c, at)]);
                    assert!((a - b).abs() <= 0.5, "{layout:?} {element:?}: {a} {b}");
                }
            }
        }
    }
    let grey = fill(InputSpec {
        channels: Channels::Gray,
        ..plain
    });
    assert_eq!(grey.len(), 256);
    let Values::F32(grey) = grey else {
        panic!("floats were asked for")
    };
    let luma = 0.114 * expect[0] + 0.587 * expect[256] + 0.299 * expect[512];
    assert!((grey[0] - luma).abs() < 0.1);
}
