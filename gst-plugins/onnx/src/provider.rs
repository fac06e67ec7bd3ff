//! The hardware that runs a model, by the names that ONNX Runtime's execution providers have.
//!
//! Which of them a build knows is a matter of cargo features; which of them the library knows, of the library.

use ort::session::builder::SessionBuilder;

/// An execution provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// The processor; always there.
    Cpu,
    /// Nvidia's cards.
    Cuda,
    /// Nvidia's cards, by `TensorRT`.
    TensorRt,
    /// Intel's processors, cards and accelerators.
    OpenVino,
    /// Apple's accelerators.
    CoreMl,
}

impl Provider {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Cpu,
        Self::Cuda,
        Self::TensorRt,
        Self::OpenVino,
        Self::CoreMl,
    ];

    /// The name in properties.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
            Self::CoreMl => "coreml",
        }
    }

    /// Reads a comma list.
    ///
    /// # Errors
    /// One sentence that names what is not known.
    pub fn parse(list: &str) -> Result<Vec<Self>, String> {
        list.split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(|word| {
                Self::ALL
                    .into_iter()
                    .find(|p| p.as_str() == word)
                    .ok_or_else(|| {
                        let known = Self::ALL.map(Self::as_str).join(", ");
                        format!("`{word}` is no execution provider: write some of {known}")
                    })
            })
            .collect()
    }

    /// Whether this build can ask for it.
    pub fn is_built_in(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda => cfg!(feature = "cuda"),
            Self::TensorRt => cfg!(feature = "tensorrt"),
            Self::OpenVino => cfg!(feature = "openvino"),
            Self::CoreMl => cfg!(feature = "coreml"),
        }
    }

    /// Asks for it; a session that ONNX Runtime cannot make with it is an error, not a slower session.
    pub(crate) fn register(self, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        match self {
            Self::Cpu => Ok(builder),
            #[cfg(feature = "cuda")]
            Self::Cuda => with(builder, ort::ep::CUDA::default().build()),
            #[cfg(feature = "tensorrt")]
            Self::TensorRt => with(builder, ort::ep::TensorRT::default().build()),
            #[cfg(feature = "openvino")]
            Self::OpenVino => with(builder, ort::ep::OpenVINO::default().build()),
            #[cfg(feature = "coreml")]
            Self::CoreMl => with(builder, ort::ep::CoreML::default().build()),
            #[allow(
                unreachable_patterns,
                reason = "with every feature on nothing is left for it"
            )]
            other => Err(ort::Error::new(format!(
                "this build does not know {other}: build it with `--features {other}`"
            ))),
        }
    }
}

#[cfg(any(
    feature = "cuda",
    feature = "tensorrt",
    feature = "openvino",
    feature = "coreml"
))]
fn with(
    builder: SessionBuilder,
    dispatch: ort::ep::ExecutionProviderDispatch,
) -> ort::Result<SessionBuilder> {
    Ok(builder.with_execution_providers([dispatch.error_on_failure()])?)
}

impl std::fmt::Display for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_strangers_named() {
        assert_eq!(Provider::parse(""), Ok(Vec::new()));
        assert_eq!(
            Provider::parse("tensorrt, cuda,cpu"),
            Ok(vec![Provider::TensorRt, Provider::Cuda, Provider::Cpu])
        );
        let error = Provider::parse("cuda,cdua").unwrap_err();
        assert!(
            error.contains("`cdua`") && error.contains("openvino"),
            "{error}"
        );
    }
}
