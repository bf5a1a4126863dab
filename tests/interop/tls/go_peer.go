// SPDX-License-Identifier: Apache-2.0

// The Go side of the interop tests: "client DIR PORT" sends and reads back; "server DIR" prints its
// port, serves one connection and says who came.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func config(dir, name string) *tls.Config {
	pem, err := os.ReadFile(dir + "/anchors.pem")
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(dir+"/"+name+".crt", dir+"/"+name+".key")
	check(err)
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: roots, ClientCAs: roots,
		ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "server.ns", MinVersion: tls.VersionTLS13,
	}
}

func main() {
	dir := os.Args[2]
	if os.Args[1] == "client" {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+os.Args[3], config(dir, "client.ns"))
		check(err)
		sent := bytes.Repeat([]byte("tulle"), 100_000)
		go func() {
			conn.Write(sent)
			conn.CloseWrite()
		}()
		got, err := io.ReadAll(conn)
		check(err)
		if !bytes.Equal(got, sent) {
			fmt.Print("different ")
		} else {
			fmt.Print("same ")
		}
		fmt.Println(conn.ConnectionState().CurveID)
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	tcp, err := listener.Accept()
	check(err)
	conn := tls.Server(tcp, config(dir, "server.ns"))
	check(conn.Handshake())
	state := conn.ConnectionState()
	fmt.Println(state.PeerCertificates[0].DNSNames[0], state.CurveID)
	_, err = io.Copy(conn, conn)
	check(err)
	check(conn.Close())
}
