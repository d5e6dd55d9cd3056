# SPDX-License-Identifier: MIT

# JSON as RFC 8259 has it, in the bodies of batch, incr and import: what is
# valid is taken, what is not is 400, and nothing is ever 5xx.
use strict;
use warnings;
use Jackdaw;
use JSON::PP;
use Test::More;

my $server = Jackdaw->start;
my $kv = '/v1/kv/cache';

# ---- texts that are no JSON at all -----------------------------------------

my %invalid = (
    # structure
    'nothing' => '',
    'a blank' => ' ',
    'blanks' => " \t\r\n",
    'an open array' => '[',
    'an open object' => '{',
    'a closed array' => ']',
    'a closed object' => '}',
    'crossed brackets' => '[{]}',
    'an array ended as an object' => '[1}',
    'an object ended as an array' => '{"a":1]',
    'an array with one comma' => '[,]',
    'a comma first' => '[,1]',
    'a comma last' => '[1,]',
    'two commas' => '[1,,2]',
    'two commas last' => '[1,,]',
    'no comma' => '[1 2]',
    'a colon in an array' => '["a":1]',
    'a semicolon' => '[1;2]',
    'an array not ended' => '[1',
    'an array not ended after a comma' => '[1,',
    'a nested one not ended' => '[[1]',
    'one bracket too many' => '[1]]',
    'an object with one comma' => '{,}',
    'an object with a comma last' => '{"a":1,}',
    'an object with two commas' => '{"a":1,,"b":2}',
    'an object with a comma first' => '{,"a":1}',
    'an object without colon' => '{"a" 1}',
    'an object with two colons' => '{"a"::1}',
    'an object without value' => '{"a":}',
    'an object with only a name' => '{"a"}',
    'an object with a comma for the colon' => '{"a",1}',
    'a name without quotes' => '{a:1}',
    'a name in single quotes' => "{'a':1}",
    'a number as a name' => '{1:1}',
    'null as a name' => '{null:1}',
    'an array as a name' => '{[]:1}',
    'an object not ended' => '{"a":1',
    'an object not ended after its name' => '{"a"',
    'an object not ended after its colon' => '{"a":',
    'an object not ended after a comma' => '{"a":1,',
    'bytes behind' => '{}x',
    'an array behind' => '{}[]',
    'a comma behind' => '[],',
    'a bracket behind' => '{}}',
    'a comment' => '[1/*c*/]',
    'a comment behind' => '{}//c',
    'a hash behind' => "{}#c\n",
    'a comment only' => '/**/',
    'an open comment' => '{}/*',
    'XML' => '<a/>',
    'a form' => 'a=1&b=2',
    'a byte order mark only' => "\xef\xbb\xbf",
    'half a byte order mark' => "\xef\xbb{}",
    'a star' => '[*]',
    'a template' => '[${1}]',
    'a function' => '[f()]',
    'a word' => '[nothing]',
    # literals
    'True' => '[True]',
    'NULL' => '[NULL]',
    'nul' => '[nul]',
    'tru' => '[tru',
    'fals' => '[fals]',
    'truth' => '[truth]',
    'nulll' => '[nulll]',
    'undefined' => '[undefined]',
    # numbers
    'a plus' => '[+1]',
    'a minus alone' => '[-]',
    'two minuses' => '[--1]',
    'a minus and a blank' => '[- 1]',
    'a leading zero' => '[01]',
    'a leading zero after a minus' => '[-01]',
    'two zeros' => '[00]',
    'a point last' => '[1.]',
    'a point first' => '[.1]',
    'a point first after a minus' => '[-.1]',
    'a point alone' => '[.]',
    'two points' => '[1.2.3]',
    'an exponent without digits' => '[1e]',
    'an exponent with a sign only' => '[1e+]',
    'an exponent with two signs' => '[1e+-1]',
    'two exponents' => '[1e1e1]',
    'an exponent of a fraction' => '[1e1.5]',
    'a point and an exponent' => '[1.e1]',
    'an exponent alone' => '[e1]',
    'hex' => '[0x1F]',
    'octal' => '[0o17]',
    'binary' => '[0b11]',
    'an underscore' => '[1_000]',
    'a comma in a number as a blank' => '[1 000]',
    'an apostrophe' => "[1'000]",
    'NaN' => '[NaN]',
    '-NaN' => '[-NaN]',
    'Infinity' => '[Infinity]',
    '-Infinity' => '[-Infinity]',
    'inf' => '[inf]',
    'a letter behind' => '[1a]',
    'an L behind' => '[1L]',
    'an f behind' => '[1.0f]',
    'a full-width digit' => "[\xef\xbc\x91]",
    'an Arabic digit' => "[\xd9\xa1]",
    'a sum' => '[1+1]',
    # strings
    'a string not ended' => '["a',
    'a quote alone' => '["',
    'a quote and the end' => '["]',
    'single quotes' => "['a']",
    'an escape not ended' => '["\\',
    'an escaped end' => '["\\"]',
    'an unknown escape' => '["\\a"]',
    'a hex escape' => '["\\x41"]',
    'an octal escape' => '["\\0"]',
    'an escaped single quote' => "[\"\\'\"]",
    'an escaped line end' => "[\"\\\n\"]",
    'an upper case u' => '["\\U0041"]',
    'u without digits' => '["\\u"]',
    'u with one digit' => '["\\u1"]',
    'u with three digits' => '["\\u123"]',
    'u with a letter' => '["\\u00g0"]',
    'u with a sign' => '["\\u+123"]',
    'u with braces' => '["\\u{41}"]',
    'u not ended' => '["\\u00',
    'half a pair not ended' => '["\\ud83d\\u"]',
    'a line end' => "[\"a\nb\"]",
    'a tab' => "[\"a\tb\"]",
    'a carriage return' => "[\"a\rb\"]",
    'NUL in a string' => "[\"a\0b\"]",
    'a control' => "[\"\x01\"]",
    'unit separator' => "[\"\x1f\"]",
    'NUL in a number' => "[1\0]",
    'NUL between' => "[\0]",
    'NUL behind' => "{}\0",
    'NUL first' => "\0{}",
    'NULs' => "\0" x 20,
    'a form feed between' => "[\x0c]",
    'a vertical tab between' => "[\x0b]",
    'a no-break space between' => "[\xc2\xa0]",
    'a line separator between' => "[\xe2\x80\xa8]",
    'a zero-width space between' => "[\xe2\x80\x8b]",
    'an escape between' => '[\\n]',
    'a word joiner behind' => "{}\xe2\x81\xa0",
    # UTF-8
    'a lone continuation' => "[\"\x80\"]",
    'two lone continuations' => "[\"\x80\xbf\"]",
    'an overlong slash' => "[\"\xc0\xaf\"]",
    'an overlong NUL' => "[\"\xc0\x80\"]",
    'overlong in three' => "[\"\xe0\x80\xaf\"]",
    'overlong in four' => "[\"\xf0\x80\x80\xaf\"]",
    'a start without its end' => "[\"\xc3\"]",
    'two of three' => "[\"\xe2\x82\"]",
    'three of four' => "[\"\xf0\x9f\x90\"]",
    'a start at the very end' => "[\"\xe2",
    'a surrogate' => "[\"\xed\xa0\x80\"]",
    'a pair of surrogates' => "[\"\xed\xa0\xbd\xed\xb0\xa6\"]",
    'beyond U+10FFFF' => "[\"\xf4\x90\x80\x80\"]",
    'five bytes' => "[\"\xf8\x88\x80\x80\x80\"]",
    'six bytes' => "[\"\xfc\x84\x80\x80\x80\x80\"]",
    'FE' => "[\"\xfe\"]",
    'FF' => "[\"\xff\"]",
    'Latin-1' => "[\"caf\xe9\"]",
    'a bad byte between' => "[\xff]",
    'a bad name' => "{\"\xff\":1}",
    'UTF-16, little end first' => "[\0\"\0a\0\"\0]\0",
    'UTF-16, big end first' => "\0[\0\"\0a\0\"\0]",
    'UTF-16 with its mark' => "\xff\xfe[\0]\0",
    'UTF-32' => "[\0\0\0]\0\0\0",
    # depth
    'deep arrays not ended' => '[' x 100_000,
    'deep objects not ended' => '{"a":' x 50_000,
    'deep arrays with a fault' => '[' x 500 . 'x' . ']' x 500,
);

# Valid, but more than some reader takes: done, or refused with 400.
my %either = (
    'a byte order mark' => "\xef\xbb\xbf[]",
    'arrays 100 deep' => '[' x 100 . ']' x 100,
    'arrays 1000 deep' => '[' x 1000 . ']' x 1000,
    'arrays 100000 deep' => '[' x 100_000 . ']' x 100_000,
    'objects 20000 deep' => '{"a":' x 20_000 . '1' . '}' x 20_000,
    'a lone high surrogate' => '["\\ud83d"]',
    'a lone low surrogate' => '["\\udc26"]',
    'a pair the wrong way' => '["\\udc26\\ud83d"]',
    'a high surrogate twice' => '["\\ud83d\\ud83d"]',
    'a high surrogate and a letter' => '["\\ud83dx"]',
    'a huge integer' => '[' . '9' x 1000 . ']',
    'a very negative one' => '[-' . '9' x 1000 . ']',
    'an integer beyond 64 bits' => '[18446744073709551616]',
    'an integer beyond 63 bits' => '[9223372036854775808]',
    'a huge exponent' => '[1e400]',
    'a very huge exponent' => '[1e99999999999999999999]',
    'a tiny exponent' => '[1e-400]',
    'a minus zero' => '[-0]',
    'many digits' => '[0.' . '1' x 10_000 . ']',
    'a name twice' => '{"by":1,"by":2}',
    'a name twice, once escaped' => '{"by":1,"\\u0062y":2}',
    'an empty name' => '{"":0}',
    'NUL in a name' => '{"a\\u0000b":0}',
    'a noncharacter' => '["\\uffff"]',
);

# Each as it is, and where a value stands in a request of the right shape.
sub forms {
    my ($text) = @_;
    my @forms = (
        ['batch', POST => '/?op=batch', $text],
        ['a value in a batch', POST => '/?op=batch', "[{\"put\":\"refused\",\"value\":$text}]"],
        ['incr', POST => '/refused?op=incr', $text],
        ['by of incr', POST => '/refused?op=incr', "{\"by\":$text}"],
        ['import', PUT => '/?op=import', "$text\n"],
        ['a value in an import', PUT => '/?op=import', "{\"key\":\"refused\",\"value\":$text}\n"],
    );
    # No body means the defaults to incr; no line is no fault of an import.
    @forms = grep { $_->[0] ne 'incr' && $_->[0] ne 'import' } @forms if $text !~ /[^ \t\r\n]/;
    return @forms;
}

sub statuses_of {
    my ($text) = @_;
    my @statuses;
    for my $form (forms($text)) {
        my ($name, $method, $target, $body) = @$form;
        my $reply = $server->request($method, "$kv$target", content => $body, timeout => 5);
        push @statuses, "$name $reply->{status}";
    }
    return @statuses;
}

subtest 'invalid is refused' => sub {
    for my $name (sort keys %invalid) {
        my @wrong = grep { !/ 400$/ } statuses_of($invalid{$name});
        ok !@wrong, $name or diag "@wrong";
    }
    is $server->get("$kv/refused")->{status}, 404, 'nothing was done';
};

subtest 'more than some take' => sub {
    for my $name (sort keys %either) {
        my @wrong = grep { !/ (200|400)$/ } statuses_of($either{$name});
        ok !@wrong, $name or diag "@wrong";
    }
};

subtest 'valid, but of another shape' => sub {
    for my $text ('1', '-1', '0', '1.5', '1e5', 'true', 'false', 'null', '""', '"a"', '[1]',
        '[null]', '[[]]', '[{}]', '[true]', '{"a":1}', '{"a":{"b":[]}}', ' [ 1 ] ') {
        # A number is good as `by`, and a string as a value.
        my $good = $text =~ /^-?\d+$/ ? qr/^by of incr 200$/ : $text =~ /^"/ ? qr/^a value .* 200$/ : qr/^$/;
        my @wrong = grep { !/ 400$/ && $_ !~ $good } statuses_of($text);
        ok !@wrong, "text $text" or diag "@wrong";
    }
};

# ---- valid -----------------------------------------------------------------

subtest 'strings' => sub {
    my %strings = (
        'empty' => ['""', ''],
        'plain' => ['"abc"', 'abc'],
        'short escapes' => ['"\\"\\\\\\/\\b\\f\\n\\r\\t"', "\"\\/\b\f\n\r\t"],
        'u' => ['"\\u0041\\u00e9\\u20AC"', "A\xc3\xa9\xe2\x82\xac"],
        'u in both cases' => ['"\\uabCD"', "\xea\xaf\x8d"],
        'a pair' => ['"\\ud83d\\udc26"', "\xf0\x9f\x90\xa6"],
        'a pair in upper case' => ['"\\uD83D\\uDC26"', "\xf0\x9f\x90\xa6"],
        'the last pair' => ['"\\udbff\\udfff"', "\xf4\x8f\xbf\xbf"],
        'NUL' => ['"a\\u0000b"', "a\0b"],
        'controls' => ['"\\u0001\\u001f\\u007f"', "\x01\x1f\x7f"],
        'DEL itself' => ["\"\x7f\"", "\x7f"],
        'two bytes' => ["\"\xc3\xa9\"", "\xc3\xa9"],
        'three bytes' => ["\"\xe2\x82\xac\"", "\xe2\x82\xac"],
        'four bytes' => ["\"\xf0\x9f\x90\xa6\"", "\xf0\x9f\x90\xa6"],
        'the last character' => ["\"\xf4\x8f\xbf\xbf\"", "\xf4\x8f\xbf\xbf"],
        'before the surrogates' => ["\"\xed\x9f\xbf\"", "\xed\x9f\xbf"],
        'behind the surrogates' => ["\"\xee\x80\x80\"", "\xee\x80\x80"],
        'line separators' => ["\"\xe2\x80\xa8\xe2\x80\xa9\"", "\xe2\x80\xa8\xe2\x80\xa9"],
        'a byte order mark' => ["\"\xef\xbb\xbf\"", "\xef\xbb\xbf"],
        'brackets' => ['"[{]},:"', '[{]},:'],
        'a comment' => ['"/*a*///b"', '/*a*///b'],
        'escaped twice' => ['"\\\\n\\\\u0041"', '\\n\\u0041'],
        'u before digits' => ['"\\u00411"', 'A1'],
        'long' => ['"' . 'x' x 100_000 . '"', 'x' x 100_000],
        'long and escaped' => ['"' . '\\u20ac' x 20_000 . '"', "\xe2\x82\xac" x 20_000],
    );
    for my $name (sort keys %strings) {
        my ($text, $bytes) = @{ $strings{$name} };
        my $reply = $server->post("$kv/?op=batch", "[{\"put\":\"taken\",\"value\":$text}]");
        is $reply->{status}, 200, "$name: in a batch" or diag $reply->{content};
        ok $server->get("$kv/taken")->{content} eq $bytes, "$name: its bytes";
        $reply = $server->post("$kv/?op=batch", '[{"get":"taken"}]');
        my $json = $server->json($reply);
        my $value = $json->{results}[0]{value};
        utf8::encode($value) if defined $value;
        ok defined $value && $value eq $bytes, "$name: and back";
        $reply = $server->put("$kv/?op=import", "{\"key\":\"taken/too\",\"value\":$text}\n");
        is $reply->{status}, 200, "$name: in an import" or diag $reply->{content};
        ok $server->get("$kv/taken/too")->{content} eq $bytes, "$name: its bytes";
        next if $bytes eq '' || $bytes =~ /\0/ || length $bytes > 480;
        $reply = $server->post("$kv/?op=batch", "[{\"put\":$text,\"value\":\"key\"}]");
        is $reply->{status}, 200, "$name: as a key" or diag $reply->{content};
        is $server->get("$kv/" . Jackdaw::encode($bytes))->{content}, 'key', "$name: it is there";
    }
};

subtest 'numbers' => sub {
    for my $number ('0', '1', '-1', '10', '-10', '9007199254740993', '-9007199254740993',
        '9223372036854775807', '-9223372036854775808') {
        $server->put("$kv/number", '0');
        my $reply = $server->post("$kv/number?op=incr", "{\"by\":$number}");
        like $reply->{content}, qr/^\{"value":$number\}$/, "by $number";
        is $server->get("$kv/number")->{content}, $number, 'exactly';
    }
};

subtest 'structure' => sub {
    my @bodies = (
        '[]', ' [ ] ', "\t[\n]\r\n", '[{"put":"s","value":"v"}]',
        ' [ { "put" : "s" , "value" : "v" } ] ',
        "[\r\n\t{\r\n\t\t\"put\":\"s\",\r\n\t\t\"value\":\"v\"\r\n\t}\r\n]\r\n",
        '[{"value":"v","put":"s"}]', '[{"\\u0070ut":"s","value":"v"}]',
        '[{"put":"s","value":"v"},{"get":"s"},{"delete":"s"}]',
        ' ' x 10_000 . '[]', '[]' . "\n" x 10_000,
        '[' . join(',', ('{"get":"s"}') x 500) . ']',
    );
    for my $body (@bodies) {
        my $reply = $server->post("$kv/?op=batch", $body);
        is $reply->{status}, 200, 'batch: ' . (substr($body, 0, 40) =~ s/\s+/ /gr)
            or diag $reply->{content};
    }
    for my $body ('{}', ' { } ', '{"by":1}', '{"initial":1}', '{"by":1,"initial":1}',
        '{"initial":1,"by":1}', "{\n\t\"by\" : 1\r\n}\n", '{"b\\u0079":1}') {
        my $reply = $server->post("$kv/structure?op=incr", $body);
        is $reply->{status}, 200, "incr: $body" or diag $reply->{content};
    }
    for my $line ('{"key":"s","value":"v"}', ' { "key" : "s" , "value" : "v" } ',
        '{"value":"v","key":"s"}', '{"\\u006bey":"s","value":"v"}', '{"key":"s","base64":""}',
        '{"key":"s","base64":"dg=="}', '{"key":"s","base64":"d\\u0067=="}',
        '{"key":{"base64":"/w=="},"base64":"\\/w=="}') {
        my $reply = $server->put("$kv/?op=import", "$line\n");
        is $reply->{status}, 200, "import: $line" or diag $reply->{content};
    }
};

# Bytes changed at random in good requests.
subtest 'noise' => sub {
    srand 7;
    my @good = (
        [POST => '/?op=batch', '[{"put":"a","value":"x\\u20ac","ttl":"1h"},{"incr":"n","by":-2},{"get":"a"}]'],
        [POST => '/n?op=incr', '{"by":12,"initial":-3}'],
        [PUT => '/?op=import', "{\"key\":\"a\",\"base64\":\"eHl6\",\"type\":\"a/b\"}\n" x 3],
    );
    my (%seen, @wrong);
    for my $i (1 .. 600 / Jackdaw::slowness()) {
        my ($method, $target, $body) = @{ $good[$i % 3] };
        for (1 .. 1 + int rand 3) {
            my $at = int rand length $body;
            my $kind = int rand 4;
            substr $body, $at, 1, chr int rand 256 if $kind == 0;
            substr $body, $at, 1, '' if $kind == 1;
            substr $body, $at, 0, substr '[]{}",:\\u0e-+.', int rand 14, 1 if $kind == 2;
            substr $body, $at, 1 + int rand 10, substr $body, int rand length $body, 10
                if $kind == 3 && length $body > $at + 12;
        }
        my $reply = $server->request($method, "$kv$target", content => $body);
        $seen{ $reply->{status} }++;
        push @wrong, "$reply->{status} for $body" if $reply->{status} !~ /^(200|4\d\d)$/;
    }
    ok !@wrong, 'is answered by 200 or 4xx' or diag join "\n", @wrong[0 .. ($#wrong > 4 ? 4 : $#wrong)];
    note join ', ', map { "$_: $seen{$_}" } sort keys %seen;
};

is $server->get('/livez')->{status}, 200, 'the daemon lives on';
is $server->stop, 0, 'and ends well';
done_testing;
