// SPDX-License-Identifier: Apache-2.0
// Serves "admin" or "public" on two ports of loopback that it prints: by http.ServeMux, and by a
// handler that looks at the decoded path and the host itself.
package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
)

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, text) }
}

func bare(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func main() {
	mux := http.NewServeMux()
	mux.Handle("/", say("public"))
	mux.Handle("/admin", say("admin"))
	mux.Handle("/admin/", say("admin"))
	mux.Handle("admin.example/", say("admin"))
	own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/admin" || strings.HasPrefix(r.URL.Path, "/admin/") || bare(r.Host) == "admin.example" {
			fmt.Fprint(w, "admin")
			return
		}
		fmt.Fprint(w, "public")
	})
	done := make(chan error)
	for _, handler := range []http.Handler{mux, own} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		fmt.Println(listener.Addr().(*net.TCPAddr).Port)
		go func(h http.Handler) { done <- http.Serve(listener, h) }(handler)
	}
	<-done
}
