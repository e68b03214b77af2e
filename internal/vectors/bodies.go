package vectors

// Bodies are unusual bodies of messages, seeds of fuzz targets.
var Bodies = []string{
	`{"module_id":"im","command":"message","params":{"text":"привет"},"extra":{"server_time_unix":1700000000.5}}`,
	"{\n \"a\": 1,\r\n\t\"b\": [\n]}\n", "{\"a\":\"x\u2028y\u2029z\"}", `{"a":"#!NGINXNMS!#{}#!NGINXNME!#"}`, `{"a":"\\#!NGINXNME!#"}`,
	`{"#!NGINXNM":"#!NGINXN"}`, "5f4dcc3b5aa765d61d8327deb882cf99", "#!NGINXNME!#", "#!NGINXN", "two\nlines", "\u2028", "{\"a\":\"\xff\xfe\"}", "\xe2\x80", "\xe2\x80\xa8",
	`"a string"`, `17`, `null`, ``, ` `, `{"a":1}{"b":2}`, "\ufeff{}", `{"a":"\ud800"}`, `{"module_id":5,"command":"x"}`, "[\"\u00e2\u0080\"]", "{\"a\":\"\xed\xa0\x80\"}",
}
