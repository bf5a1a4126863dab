// SPDX-License-Identifier: Apache-2.0

// A server as people write them, for `connect.go PORT`: CONNECT is answered with 200, flushed, and then with bytes that look like an
// answer to somebody else's request; every other request with its own path.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	http.ListenAndServe(":"+os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			fmt.Fprint(w, r.URL.Path)
			return
		}
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for i := 0; i < 5; i++ {
			time.Sleep(10 * time.Millisecond)
			fmt.Fprint(w, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned")
			w.(http.Flusher).Flush()
		}
	}))
}
