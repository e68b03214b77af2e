module pushgate

go 1.26
