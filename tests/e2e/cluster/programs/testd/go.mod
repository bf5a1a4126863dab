module tulle/e2e/testd

go 1.24
