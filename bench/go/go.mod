module gorin-bench-go

go 1.23
