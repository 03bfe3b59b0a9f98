// Package compose brings the containers up as docker compose does.
package compose
