//! Colours by meaning. `auto` uses the terminal's own 16 colours and no background; `dark` and `light` take fixed ones of the
//! 256; `mono` has none. Pure.

use ratatui::style::{Color, Modifier, Style};

use super::text::{Look, Role};

/// A set of colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Theme {
    /// The terminal's own colours.
    #[default]
    Auto,
    /// For a dark background.
    Dark,
    /// For a light background.
    Light,
    /// No colours.
    Mono,
}

impl Theme {
    /// Finds a theme by its name.
    pub fn by_name(name: &str) -> Option<Self> {
        [
            ("auto", Self::Auto),
            ("dark", Self::Dark),
            ("light", Self::Light),
            ("mono", Self::Mono),
        ]
        .into_iter()
        .find_map(|(known, theme)| (known == name).then_some(theme))
    }

    /// Returns the style of a look.
    pub(super) fn style(self, look: Look) -> Style {
        let mut style = Style::default();
        if let Some(colour) = self.colour(look.role) {
            style = style.fg(colour);
        }
        let mono = self == Self::Mono;
        let mut add = |on: bool, modifier: Modifier| {
            if on {
                style = style.add_modifier(modifier);
            }
        };
        add(
            look.bold || mono && matches!(look.role, Role::Accent | Role::Keyword),
            Modifier::BOLD,
        );
        add(look.italic, Modifier::ITALIC);
        add(look.struck, Modifier::CROSSED_OUT);
        add(
            look.underlined || mono && look.role == Role::Link,
            Modifier::UNDERLINED,
        );
        add(look.role == Role::Chosen, Modifier::REVERSED);
        add(
            look.role == Role::Dim && matches!(self, Self::Auto | Self::Mono),
            Modifier::DIM,
        );
        style
    }

    fn colour(self, role: Role) -> Option<Color> {
        let named = |colour| Some(colour);
        let of = |dark: u8, light: u8| {
            Some(Color::Indexed(if self == Self::Light {
                light
            } else {
                dark
            }))
        };
        if self == Self::Mono {
            return None;
        }
        if self == Self::Auto {
            return match role {
                Role::Text | Role::Dim | Role::Chosen => None,
                Role::User | Role::Accent => named(Color::Cyan),
                Role::Good | Role::Literal => named(Color::Green),
                Role::Warn | Role::Number => named(Color::Yellow),
                Role::Bad => named(Color::Red),
                Role::Code => named(Color::Cyan),
                Role::Keyword => named(Color::Magenta),
                Role::Comment => named(Color::DarkGray),
                Role::Link => named(Color::Blue),
            };
        }
        match role {
            Role::Text | Role::Chosen => of(252, 235),
            Role::Dim | Role::Comment => of(244, 242),
            Role::User => of(80, 30),
            Role::Accent => of(81, 25),
            Role::Good => of(114, 28),
            Role::Literal => of(150, 64),
            Role::Warn => of(221, 130),
            Role::Number => of(215, 94),
            Role::Bad => of(210, 124),
            Role::Code => of(116, 24),
            Role::Keyword => of(176, 90),
            Role::Link => of(111, 26),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_has_no_colour_and_auto_no_background() {
        for role in [Role::Text, Role::Bad, Role::Link, Role::Chosen, Role::Code] {
            let style = Theme::Mono.style(Look::of(role));
            assert_eq!((style.fg, style.bg), (None, None));
            assert_eq!(Theme::Auto.style(Look::of(role)).bg, None);
        }
        assert_eq!(Theme::by_name("light"), Some(Theme::Light));
        assert_eq!(Theme::by_name("neon"), None);
    }
}
