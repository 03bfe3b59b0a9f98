package links

// For the tests of what is read behind a good signature.
var (
	Encode = encode
	Decode = decode
)
