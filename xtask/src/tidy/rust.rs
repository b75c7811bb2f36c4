//! What a source holds.

use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// How often the code has a word, comments and literals left out. Macros are code too.
pub(super) fn count_word(source: &str, word: &str) -> Result<usize, String> {
    let tokens = TokenStream::from_str(source).map_err(|error| error.to_string())?;
    Ok(count(tokens, word))
}

/// How often an `unsafe` stands before braces: a block, not a function, an implementation or an attribute.
pub(super) fn count_unsafe_blocks(source: &str) -> Result<usize, String> {
    let tokens = TokenStream::from_str(source).map_err(|error| error.to_string())?;
    Ok(blocks(tokens))
}

fn blocks(tokens: TokenStream) -> usize {
    let mut count = 0;
    let mut after_unsafe = false;
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            count += usize::from(after_unsafe && group.delimiter() == Delimiter::Brace);
            count += blocks(group.stream());
        }
        after_unsafe = matches!(&token, TokenTree::Ident(word) if word == "unsafe");
    }
    count
}

fn count(tokens: TokenStream, word: &str) -> usize {
    tokens
        .into_iter()
        .map(|token| match token {
            TokenTree::Group(group) => count(group.stream(), word),
            TokenTree::Ident(ident) => usize::from(ident == word),
            TokenTree::Punct(_) | TokenTree::Literal(_) => 0,
        })
        .sum()
}

/// Lines of a source before its inline test module.
pub(super) fn lines_without_tests(source: &str) -> usize {
    let lines: Vec<&str> = source.lines().collect();
    lines
        .windows(2)
        .position(|pair| {
            matches!(pair, [attribute, module] if attribute.trim() == "#[cfg(test)]"
                && module.trim_start().starts_with("mod ")
                && module.trim_end().ends_with('{'))
        })
        .unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_words_of_the_code_alone() {
        let source = "let a = \"unsafe \\\" x\"; // unsafe\n/* unsafe /* unsafe */ */ let b = 'u';\n/// unsafe\nfn f<'a>(x: &'a str) { r#\"unsafe\"# }";
        assert_eq!(count_word(source, "unsafe"), Ok(0));
        assert_eq!(
            count_word("m! { for \"x\" in unsafe { unsafe_code } }", "unsafe"),
            Ok(1)
        );
        assert!(count_word("fn f(", "unsafe").is_err());
    }

    #[test]
    fn counts_unsafe_blocks_and_nothing_else_that_is_unsafe() {
        let source = "unsafe fn f() { unsafe { g() } } unsafe impl S for T {} #[unsafe(no_mangle)] fn h() { m!(unsafe { unsafe { x } }) } unsafe extern \"C\" {}";
        assert_eq!(count_unsafe_blocks(source), Ok(3));
        assert_eq!(count_unsafe_blocks("// unsafe { x }"), Ok(0));
    }

    #[test]
    fn counts_lines_up_to_the_test_module() {
        assert_eq!(lines_without_tests("a\nb\n#[cfg(test)]\nmod tests {\nc\n}\n"), 2);
        assert_eq!(lines_without_tests("a\n#[cfg(test)]\nmod tests;\nb\n"), 4);
    }
}
