//! Reading typed fields out of `gst::Structure`s with errors that name the structure and the field.

/// A structure that does not say what its type promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The structure has another name.
    #[error("expected a structure named {expected:?}, got {got:?}")]
    Name {
        /// The name of the type that was asked for.
        expected: &'static str,
        /// The name that was found.
        got: String,
    },
    /// A field is absent or has another type.
    #[error("{structure}: field {field:?} is missing or has the wrong type")]
    Field {
        /// The name of the structure.
        structure: &'static str,
        /// The name of the field.
        field: &'static str,
    },
    /// A field has a word that is not in its vocabulary.
    #[error("{structure}: field {field:?} does not know the word {word:?}")]
    Word {
        /// The name of the structure.
        structure: &'static str,
        /// The name of the field.
        field: &'static str,
        /// The word that was found.
        word: String,
    },
}

/// The typed form of an element message: one structure name, one Rust type.
pub trait Message: Sized {
    /// The name of the structure on the bus.
    const NAME: &'static str;

    /// The structure that goes on the bus.
    fn to_structure(&self) -> gst::Structure;

    /// The typed form of a structure.
    ///
    /// # Errors
    /// When the name is another one, or a field is missing or mistyped.
    fn try_from_structure(structure: &gst::StructureRef) -> Result<Self, FieldError>;

    /// The typed form of a bus message, `None` when it is some other message.
    fn from_message(message: &gst::MessageRef) -> Option<Result<Self, FieldError>> {
        if message.type_() != gst::MessageType::Element {
            return None;
        }
        let structure = message.structure()?;
        (structure.name() == Self::NAME).then(|| Self::try_from_structure(structure))
    }
}

pub(crate) fn expect_name(
    structure: &gst::StructureRef,
    expected: &'static str,
) -> Result<(), FieldError> {
    if structure.name() == expected {
        Ok(())
    } else {
        Err(FieldError::Name {
            expected,
            got: structure.name().to_string(),
        })
    }
}

pub(crate) fn required<'a, T: gst::glib::value::FromValue<'a>>(
    structure: &'a gst::StructureRef,
    name: &'static str,
    field: &'static str,
) -> Result<T, FieldError> {
    structure.get(field).map_err(|_| FieldError::Field {
        structure: name,
        field,
    })
}

/// A list of strings, empty when the field is absent.
pub(crate) fn strings(structure: &gst::StructureRef, field: &str) -> Vec<String> {
    structure
        .get::<gst::Array>(field)
        .map(|array| {
            array
                .iter()
                .filter_map(|value| value.get::<String>().ok())
                .collect()
        })
        .unwrap_or_default()
}

pub(crate) fn string_array(strings: &[String]) -> gst::Array {
    gst::Array::new(strings.iter().map(String::as_str))
}

/// Declares an enum whose variants are words on the wire.
macro_rules! words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// Every variant, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The variant of a word, `None` when the word is not in the vocabulary.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

/// Reads a field that holds a word of a vocabulary.
pub(crate) fn word<T>(
    structure: &gst::StructureRef,
    name: &'static str,
    field: &'static str,
    from_word: impl Fn(&str) -> Option<T>,
) -> Result<T, FieldError> {
    let word: &str = required(structure, name, field)?;
    from_word(word).ok_or_else(|| FieldError::Word {
        structure: name,
        field,
        word: word.to_owned(),
    })
}
