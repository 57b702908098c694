//! Hostile values that a payload may carry, each under a name.
//!
//! Wherever a value of an event can reach (templates, playbooks, commands, the
//! store, terminals, pages) it has to come out as the text or the number it
//! was. Tests send every one of these there. They are JSON texts: what has to
//! be refused before it is an event at all stands in [`UNDECODABLE`].

pub mod same;

/// Values that would be run as code make this file; it may never exist.
pub const CANARY: &str = "/tmp/lariat-corpus-canary";

/// The password of the ciphertext in the corpus: runs that have it as a vault
/// secret must not use it.
pub const VAULT_PASSWORD: &str = "corpus-password";

/// What the ciphertext in the corpus says: it may be seen nowhere.
pub const VAULT_PLAINTEXT: &str = "lariat-vault-plaintext";

macro_rules! ten {
    ($($text:tt)*) => {
        concat!(
            $($text)*, $($text)*, $($text)*, $($text)*, $($text)*,
            $($text)*, $($text)*, $($text)*, $($text)*, $($text)*
        )
    };
}

/// A name and the JSON text of a value.
pub const VALUES: &[(&str, &str)] = &[
    // Templates of Jinja, which Ansible and others would run.
    (
        "jinja_lookup_pipe",
        r#""{{ lookup('pipe', 'touch /tmp/lariat-corpus-canary') }}""#,
    ),
    (
        "jinja_lookup_double_quotes",
        r#""{{ lookup(\"pipe\", \"touch /tmp/lariat-corpus-canary\") }}""#,
    ),
    (
        "jinja_query",
        r#""{{ query('ansible.builtin.pipe', 'touch /tmp/lariat-corpus-canary') | first }}""#,
    ),
    ("jinja_arithmetic", r#""{{ 7 * 7 }}""#),
    (
        "jinja_globals",
        r#""{{ ''.__class__.__mro__[1].__subclasses__() }}""#,
    ),
    ("jinja_vars", r#""{{ hostvars | to_json }}""#),
    ("jinja_event_itself", r#""{{ event.body }} {{ event.id }}""#),
    ("jinja_undefined", r#""{{ no_such_name_at_all }}""#),
    (
        "jinja_statement",
        r#""{% if true %}{{ lookup('pipe', 'touch /tmp/lariat-corpus-canary') }}{% endif %}""#,
    ),
    ("jinja_for", r#""{% for i in range(3) %}x{% endfor %}""#),
    ("jinja_include", r#""{% include '/etc/passwd' %}""#),
    ("jinja_comment", r#""{# a comment #}kept""#),
    ("jinja_comment_open", r#""{# never closed""#),
    ("jinja_open", r#""{{""#),
    ("jinja_close", r#""}}""#),
    ("jinja_statement_open", r#""{% if""#),
    (
        "jinja_nested",
        r#""{{ '{{ lookup(\"pipe\", \"touch /tmp/lariat-corpus-canary\") }}' }}""#,
    ),
    ("jinja_broken_nesting", r#""{{ {{ {% }} %} {{""#),
    ("jinja_split", r#""{\u200b{ 1 }\u200b}""#),
    (
        "jinja_raw",
        r#""{% raw %}{{ x }}{% endraw %}{{ lookup('pipe', 'touch /tmp/lariat-corpus-canary') }}""#,
    ),
    (
        "jinja_header",
        r##""#jinja2: variable_start_string:'[['\n[[ lookup('pipe', 'touch /tmp/lariat-corpus-canary') ]]""##,
    ),
    ("jinja_line_statement", r##""# for x in [1]\n% set y = 1""##),
    (
        "jinja_lone_expression",
        r#""lookup('pipe', 'touch /tmp/lariat-corpus-canary')""#,
    ),
    (
        "jinja_when_injection",
        r#""true) or (lookup('pipe', 'touch /tmp/lariat-corpus-canary')""#,
    ),
    // What Ansible's loaders treat specially.
    ("unsafe_tag", r#""!unsafe x""#),
    (
        "vault_tag",
        r#""!vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162""#,
    ),
    (
        "vault_text",
        r#""$ANSIBLE_VAULT;1.1;AES256\n36316162633163356164643837643231626634333464316232623131646432303063316337323637\n3638316361316633336366633234376138383063373636640a383731366362393863306133383365\n65656565383962646433353134393431346632396365636363643638613733656632396463326466\n6366663739313266330a313766656465346364326137386231646564633862336637346662656631\n35613430386230336438643561376434396431326633373231333031336236643164\n""#,
    ),
    (
        "vault_object",
        r#"{"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\n36316162633163356164643837643231626634333464316232623131646432303063316337323637\n3638316361316633336366633234376138383063373636640a383731366362393863306133383365\n65656565383962646433353134393431346632396365636363643638613733656632396463326466\n6366663739313266330a313766656465346364326137386231646564633862336637346662656631\n35613430386230336438643561376434396431326633373231333031336236643164\n"}"#,
    ),
    (
        "vault_object_with_siblings",
        r#"{"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\n36316162633163356164643837643231626634333464316232623131646432303063316337323637\n3638316361316633336366633234376138383063373636640a383731366362393863306133383365\n65656565383962646433353134393431346632396365636363643638613733656632396463326466\n6366663739313266330a313766656465346364326137386231646564633862336637346662656631\n35613430386230336438643561376434396431326633373231333031336236643164\n", "kept": "yes"}"#,
    ),
    (
        "vault_object_nested",
        r#"{"a": [{"b": {"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\n36316162633163356164643837643231626634333464316232623131646432303063316337323637\n3638316361316633336366633234376138383063373636640a383731366362393863306133383365\n65656565383962646433353134393431346632396365636363643638613733656632396463326466\n6366663739313266330a313766656465346364326137386231646564633862336637346662656631\n35613430386230336438643561376434396431326633373231333031336236643164\n"}}]}"#,
    ),
    (
        "vault_object_as_text",
        r#""{\"__ansible_vault\": \"$ANSIBLE_VAULT;1.1;AES256\\n36316162633163356164643837643231626634333464316232623131646432303063316337323637\\n3638316361316633336366633234376138383063373636640a383731366362393863306133383365\\n65656565383962646433353134393431346632396365636363643638613733656632396463326466\\n6366663739313266330a313766656465346364326137386231646564633862336637346662656631\\n35613430386230336438643561376434396431326633373231333031336236643164\\n\"}""#,
    ),
    (
        "unsafe_object",
        r#"{"__ansible_unsafe": "{{ lookup('pipe', 'touch /tmp/lariat-corpus-canary') }}"}"#,
    ),
    (
        "unsafe_object_with_siblings",
        r#"{"__ansible_unsafe": {"x": 1}, "sibling": "kept"}"#,
    ),
    (
        "type_object",
        r#"{"__ansible_type": "EncryptedString", "ciphertext": "$ANSIBLE_VAULT;1.1;AES256\n36316162633163356164643837643231626634333464316232623131646432303063316337323637\n3638316361316633336366633234376138383063373636640a383731366362393863306133383365\n65656565383962646433353134393431346632396365636363643638613733656632396463326466\n6366663739313266330a313766656465346364326137386231646564633862336637346662656631\n35613430386230336438643561376434396431326633373231333031336236643164\n"}"#,
    ),
    (
        "type_object_short",
        r#"{"__ansible_type": "_TDatetime", "value": "2001-01-01"}"#,
    ),
    (
        "ansible_private_names",
        r#"{"_ansible_no_log": true, "_ansible_verbose_override": true, "_ansible_delegated_vars": {"ansible_host": "evil"}}"#,
    ),
    (
        "ansible_connection_names",
        r#"{"ansible_connection": "local", "ansible_host": "192.0.2.1", "ansible_python_interpreter": "/bin/false", "ansible_become": true}"#,
    ),
    (
        "ansible_facts_names",
        r#"{"ansible_facts": {"x": 1}, "invocation": {"module_args": {}}, "stdout": "x", "changed": true, "failed": true, "skipped": true}"#,
    ),
    (
        "omit_placeholder",
        r#""__omit_place_holder__0000000000000000000000000000000000000000""#,
    ),
    // Shells.
    ("shell_dollar", r#""$(touch /tmp/lariat-corpus-canary)""#),
    ("shell_backticks", r#""`touch /tmp/lariat-corpus-canary`""#),
    (
        "shell_semicolon",
        r#""; touch /tmp/lariat-corpus-canary; rm -rf /tmp/lariat-no-such-directory""#,
    ),
    ("shell_pipe", r#""| touch /tmp/lariat-corpus-canary""#),
    ("shell_and", r#""&& touch /tmp/lariat-corpus-canary &""#),
    ("shell_redirect", r#""> /tmp/lariat-corpus-canary""#),
    ("shell_variable", r#""${PATH} $HOME ${IFS}""#),
    ("shell_glob", r#""* ? [a-z] ~root {a,b}""#),
    ("shell_newline", r#""x\ntouch /tmp/lariat-corpus-canary\n""#),
    (
        "shell_quotes_break",
        r#""'; touch /tmp/lariat-corpus-canary; '""#,
    ),
    (
        "shell_double_quotes_break",
        r#""\"; touch /tmp/lariat-corpus-canary; \"""#,
    ),
    (
        "shell_shock",
        r#""() { :; }; touch /tmp/lariat-corpus-canary""#,
    ),
    // Options.
    ("option_short", r#""-e""#),
    ("option_long", r#""--extra-vars=@/etc/passwd""#),
    ("option_end", r#""--""#),
    ("option_rm", r#""-rf""#),
    ("option_file", r#""@/etc/passwd""#),
    // Quotes, lines and controls.
    ("quotes", r#""'\"`\\'\\\"""#),
    ("backslashes", r#""\\\\\\n\\x41\\u0041\\""#),
    ("newline", r#""one\ntwo\n\nthree\n""#),
    ("carriage_return", r#""kept\rhidden""#),
    ("crlf", r#""one\r\ntwo\r\n""#),
    ("tabs", r#""\ta\tb\t""#),
    ("nul", r#""a\u0000b""#),
    (
        "controls",
        r#""\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f""#,
    ),
    ("delete", r#""a\u007fb""#),
    (
        "c1_controls",
        r#""\u0080\u0081\u0082\u0083\u0084\u0085\u0086\u0087\u0088\u0089\u008a\u008b\u008c\u008d\u008e\u008f\u0090\u0091\u0092\u0093\u0094\u0095\u0096\u0097\u0098\u0099\u009a\u009b\u009c\u009d\u009e\u009f""#,
    ),
    ("ansi_colour", r#""\u001b[31mred\u001b[0m""#),
    ("ansi_clear", r#""\u001b[2J\u001b[H\u001b[3J""#),
    ("ansi_title", r#""\u001b]0;owned\u0007""#),
    (
        "ansi_link",
        r#""\u001b]8;;http://example.com/\u001b\\text\u001b]8;;\u001b\\""#,
    ),
    ("ansi_clipboard", r#""\u001b]52;c;ZWNobyBvd25lZA==\u0007""#),
    ("ansi_report", r#""\u001b[6n\u001b[c\u001bP+q544e\u001b\\""#),
    ("ansi_c1_csi", r#""\u009b31mred""#),
    ("backspace", r#""good\b\b\b\bevil""#),
    ("bell", r#""\u0007\u0007\u0007""#),
    ("next_line", r#""a\u0085b""#),
    ("line_separators", r#""a\u2028b\u2029c""#),
    (
        "log_forgery",
        r#""x\n2026-01-01T00:00:00Z  INFO lariat: job succeeded""#,
    ),
    // Unicode.
    ("bom", r#""\ufefftext\ufeff""#),
    ("rtl_override", r#""user\u202egnp.exe""#),
    ("bidi_isolates", r#""\u2066a\u2067b\u2069""#),
    ("zero_width", r#""a\u200bb\u200dc\u00add""#),
    ("combining", r#""e\u0301 Z\u0351\u036b\u0343""#),
    (
        "emoji",
        r#""\ud83d\udc68\u200d\ud83d\udc69\u200d\ud83d\udc67 \ud83c\udff3\ufe0f""#,
    ),
    ("astral", r#""\ud835\udd4f\ud800\udc00\udbff\udfff""#),
    ("noncharacters", r#""\ufffe\uffff\ufffd""#),
    ("surrogate_text", r#""\\ud800""#),
    (
        "umlauts",
        r#""\u00e4\u00f6\u00fc\u00df \u4e2d\u6587 \u0395\u03bb""#,
    ),
    ("private_use", r#""\ue000\uf8ff""#),
    // HTML, SQL, formats, paths.
    ("html_script_end", r#""</script><script>alert(1)</script>""#),
    ("html_attribute", r#""\"><img src=x onerror=alert(1)>""#),
    ("html_entities", r#""&lt;b&gt; &amp; &#x3c;""#),
    ("html_comment", r#""--><!-- ]]> <![CDATA[""#),
    ("html_javascript_link", r#""javascript:alert(1)""#),
    ("sql_drop", r#""'; DROP TABLE events; --""#),
    ("sql_or", r#""' OR '1'='1""#),
    ("sql_like", r#""100%_\\""#),
    ("format_percent", r#""%s%n%x %(name)s""#),
    ("format_braces", r#""{} {0} {0.__class__} {name!r}""#),
    ("format_log4j", r#""${jndi:ldap://example.com/a}""#),
    ("path_traversal", r#""../../../../etc/passwd""#),
    ("path_absolute", r#""/etc/passwd""#),
    ("path_file_url", r#""file:///etc/passwd""#),
    // What YAML would read as something else.
    ("yaml_alias", r#""*a""#),
    ("yaml_anchor", r#""&b""#),
    ("yaml_dash", r#""- x""#),
    ("yaml_colon", r#""a: b""#),
    ("yaml_question", r#""? x""#),
    ("yaml_pipe", r#""|""#),
    ("yaml_fold", r#"">-""#),
    ("yaml_percent", r#""%YAML 1.1""#),
    ("yaml_at", r#""@x""#),
    ("yaml_comment", r##""# x""##),
    ("yaml_comment_after", r#""x # y""#),
    ("yaml_document", r#""---\nx: 1""#),
    ("yaml_document_end", r#""...""#),
    ("yaml_flow", r#""[1, {a: b}]""#),
    (
        "yaml_python_tag",
        r#""!!python/object/apply:os.system ['touch /tmp/lariat-corpus-canary']""#,
    ),
    ("yaml_yes", r#""yes""#),
    ("yaml_no", r#""no""#),
    ("yaml_on", r#""on""#),
    ("yaml_off", r#""off""#),
    ("yaml_y", r#""y""#),
    ("yaml_true_word", r#""True""#),
    ("yaml_null_word", r#""null""#),
    ("yaml_tilde", r#""~""#),
    ("yaml_underscores", r#""1_000""#),
    ("yaml_octal_new", r#""0o17""#),
    ("yaml_octal_old", r#""012""#),
    ("yaml_sexagesimal", r#""1:30""#),
    ("yaml_infinity", r#"".inf""#),
    ("yaml_nan", r#"".nan""#),
    ("yaml_date", r#""2001-01-01""#),
    ("yaml_timestamp", r#""2001-12-14t21:59:43.10-05:00""#),
    ("yaml_exponent_word", r#""1e3""#),
    ("yaml_value_key", r#""=""#),
    ("yaml_merge_key", r#""<<""#),
    ("yaml_hexadecimal", r#""0x1F""#),
    ("yaml_leading_space", r#""  x""#),
    ("yaml_trailing_space", r#""x  ""#),
    (
        "words_in_a_list",
        r#"["yes", "no", "~", "1e3", "=", "<<", "!!int 1"]"#,
    ),
    // Numbers, as their text.
    ("number_one_point_ten", "1.10"),
    ("number_too_big", "1e400"),
    ("number_too_big_negative", "-1e400"),
    ("number_too_small", "1e-400"),
    ("number_minus_zero", "-0"),
    ("number_minus_zero_float", "-0.0"),
    ("number_long", "123456789012345678901234567890"),
    ("number_tenth", "0.1"),
    ("number_exponent_plus", "1E+2"),
    ("number_exponent", "1e3"),
    ("number_exponent_negative", "-2.5e-7"),
    ("number_precise", "0.1234567890123456789012345"),
    ("number_beyond_double", "9007199254740993"),
    ("number_i64_max", "9223372036854775807"),
    ("number_u64_max", "18446744073709551615"),
    ("number_negative", "-12"),
    // Plain things at their edges.
    ("empty_text", r#""""#),
    ("space", r#"" ""#),
    ("true", "true"),
    ("false", "false"),
    ("null", "null"),
    ("empty_list", "[]"),
    ("empty_object", "{}"),
    ("empties_nested", r#"[[], {}, [[]], {"a": {}}, [{}], ""]"#),
    (
        "deep_list",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    ),
    (
        "deep_object",
        r#"{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":"{{ 1 }}"}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}"#,
    ),
    ("mixed", r#"[null, true, 1, "x", {"a": [1, {"b": null}]}]"#),
    // Keys are hostile too.
    (
        "key_jinja",
        r#"{"{{ lookup('pipe', 'touch /tmp/lariat-corpus-canary') }}": 1}"#,
    ),
    (
        "key_jinja_and_value",
        r#"{"{{ k }}": "{{ lookup('pipe', 'touch /tmp/lariat-corpus-canary') }}"}"#,
    ),
    ("key_statement", r#"{"{% if true %}": true}"#),
    ("key_connection", r#"{"ansible_connection": "local"}"#),
    (
        "key_prototype",
        r#"{"__proto__": {"polluted": true}, "constructor": {"prototype": 1}}"#,
    ),
    ("key_empty", r#"{"": "empty"}"#),
    ("key_spaces", r#"{"a b": 1, " ": 2, "a\nb": 3}"#),
    (
        "key_yaml_words",
        r#"{"yes": 1, "null": 2, "1": 3, "1.0": 4, "~": 5, "<<": {"merged": true}, "=": 6, "? x": 7, "- x": 8}"#,
    ),
    ("key_quotes", r#"{"\"": 1, "'": 2, "\\": 3, "a\"b'c": 4}"#),
    (
        "key_controls",
        r#"{"\u001b[31m": 1, "\u0000": 2, "\u007f": 3}"#,
    ),
    (
        "key_unicode",
        r#"{"\ud83d\udca3": 1, "\u202e": 2, "\ufeff": 3}"#,
    ),
    (
        "key_methods",
        r#"{"items": 1, "keys": 2, "values": 3, "get": 4, "update": 5, "pop": 6}"#,
    ),
    (
        "key_long",
        concat!(
            "{\"",
            ten!(ten!(ten!("k"))),
            "\": 1, \"{{ ",
            ten!(ten!(ten!("x"))),
            ten!(ten!(ten!("y"))),
            "\": 2}"
        ),
    ),
    (
        "key_arguments",
        r#"{"_raw_params": "touch /tmp/lariat-corpus-canary", "_uses_shell": true, "free_form": "x"}"#,
    ),
    (
        "huge_text",
        concat!("\"", ten!(ten!(ten!(ten!("0123456789")))), "\""),
    ),
    (
        "huge_line_of_braces",
        concat!("\"", ten!(ten!(ten!("{{ x }} "))), "\""),
    ),
    ("number_huge", ten!(ten!(ten!("1234567890")))),
];

/// A name and a text that is not JSON, or not what we take: refused at the door.
pub const UNDECODABLE: &[(&str, &str)] = &[
    ("lone_high_surrogate", r#""\ud800""#),
    ("lone_low_surrogate", r#""\udc00 x""#),
    ("surrogates_swapped", r#""\udc00\ud800""#),
    ("raw_control", "\"a\u{1}b\""),
    ("raw_newline", "\"a\nb\""),
    ("bad_escape", r#""\x41""#),
    ("not_a_number", "NaN"),
    ("infinity", "Infinity"),
    ("leading_zero", "012"),
    ("leading_plus", "+1"),
    ("single_quotes", "'x'"),
    ("trailing_comma", "[1,]"),
    ("comment", "1 // one"),
    ("unclosed", "{\"a\": ["),
    ("two_values", "1 2"),
    ("nothing", ""),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{UNDECODABLE, VALUES};

    #[test]
    fn every_value_is_json_and_has_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        for (name, text) in VALUES {
            assert!(names.insert(name), "`{name}` stands there twice");
            if let Err(error) = serde_json::from_str::<Value>(text) {
                panic!("`{name}` is not JSON: {error}");
            }
        }
        assert!(names.len() >= 60);
    }

    #[test]
    fn what_is_undecodable_is_not_json() {
        for (name, text) in UNDECODABLE {
            assert!(
                serde_json::from_str::<Value>(text).is_err(),
                "`{name}` is JSON"
            );
        }
    }
}
