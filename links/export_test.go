package links

// For the tests of what is parsed after the signature was found good.
var (
	Encode = encode
	Decode = decode
)
